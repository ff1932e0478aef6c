"""Which finished student a name means: a recipe's stored or released one, or a folder. Needs no teacher."""

from dataclasses import dataclass
from pathlib import Path

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey, changes
from distill_pipeline.store.local import Store
from distill_pipeline.store.output import StoreError
from distill_pipeline.student.folder import StudentError


@dataclass(frozen=True)
class Student:
    """A Model2Vec folder, and the recipe that it was made of if it is known."""

    folder: Path
    recipe: Recipe | None


def find_student(home: Home, name: str) -> Student:
    """Return the student that a recipe's name or a folder means.

    A recipe's is the one in the store that was last made for it; where the store has none, it is the release.

    Raises:
        RecipeError: It is neither a folder nor a recipe's name.
        StudentError: The folder holds no student, or the recipe's was not made with its present settings.
    """
    folder = Path(name).expanduser()
    if folder.is_dir() and name not in home.recipe_files():
        if not _is_student(folder):
            raise StudentError(f"{name}: there is no static model in this folder (model.safetensors, tokenizer.json)")
        return Student(folder, None)
    recipe = home.recipe(name)
    problem: object = "it was never run"
    if (key := _last_made(home.store, recipe)) is not None:
        try:
            return Student(home.store.get(key).folder, recipe)
        except StoreError as error:
            problem = error
    if _is_student(home.releases / name):
        return Student(home.releases / name, recipe)
    raise StudentError(f"{name} has no student in the store yet ({problem}): distill-pipeline run {name}")


def _is_student(folder: Path) -> bool:
    return (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file()


def _last_made(store: Store, recipe: Recipe) -> StageKey | None:
    """Return the key of a recipe's student as the store records it.

    Raises:
        StudentError: The recipe's settings have changed since.
    """
    made_of = store.recorded_inputs(recipe.name, "static_model")
    vocabulary = store.recorded_inputs(recipe.name, "vocabulary")
    if made_of is None or vocabulary is None:
        return None
    try:
        keys = stage_keys(recipe, vocabulary["teacher"])
    except (DistillError, OSError):  # a corpus or a word list that it was made of has gone since
        return StageKey.of(made_of)
    key = keys["static_model"]
    if key == StageKey.of(made_of):
        return key
    # The first stage that differs says why the student does.
    made = ((store.recorded_inputs(recipe.name, stage), now.inputs) for stage, now in keys.items())
    why = next(filter(None, (changes(before, now) for before, now in made if before)), ["its stages"])
    raise StudentError(
        f"{recipe.name} has changed since it was run ({'; '.join(why)}): distill-pipeline run {recipe.name}"
    )

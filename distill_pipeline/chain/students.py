"""Which finished student a name means: a recipe's stored one, or a folder."""

from dataclasses import dataclass
from pathlib import Path

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.output import StoreError
from distill_pipeline.student.folder import StudentError


@dataclass(frozen=True)
class Student:
    """A Model2Vec folder, and the recipe that it was made of if it is known."""

    folder: Path
    recipe: Recipe | None


def find_student(home: Home, name: str) -> Student:
    """Return the student that a recipe's name or a folder means.

    Raises:
        RecipeError: It is neither a folder nor a recipe's name.
        StudentError: The folder holds no student, or the recipe's was not made with its present settings.
        TeacherError: The recipe's teacher can't be found, so its fingerprints are unknown.
    """
    folder = Path(name).expanduser()
    if folder.is_dir() and name not in home.recipe_files():
        if not (folder / "model.safetensors").is_file() or not (folder / "tokenizer.json").is_file():
            raise StudentError(f"{name}: there is no static model in this folder (model.safetensors, tokenizer.json)")
        return Student(folder, None)
    recipe = home.recipe(name)
    key = stage_keys(recipe, find_teacher(home, recipe).identity)["static_model"]
    try:
        return Student(home.store.get(key).folder, recipe)
    except StoreError as error:
        raise StudentError(f"{name} has no student in the store yet ({error}): distill-pipeline run {name}") from error

"""The chain from Python: `distill(Recipe(...))` runs it as the command line does and returns the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.cli.running import check_recipe, check_release, forced_stages, running
from distill_pipeline.errors import DistillError
from distill_pipeline.quality.measures import MEASURES
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import Recipe

_FIGURES = (*MEASURES, "student_bytes", "teacher_bytes", "student_texts_per_second", "teacher_texts_per_second")


@dataclass(frozen=True)
class Distilled:
    """The result of a run.

    Attributes:
        folder: The release: a folder that model2vec and sentence_transformers load.
        figures: Figures of the quality report, such as `similarity_correlation` and `student_bytes`.
        cache: `hit` or `computed` for each stage.
        recipe: The recipe as it was saved; `distill-pipeline run NAME` runs it again.
    """

    folder: Path
    figures: Mapping[str, float]
    cache: Mapping[str, str]
    recipe: Recipe


def distill(
    recipe: Recipe, *, force: Sequence[str] = (), override_reason: str = "", overwrite: bool = False
) -> Distilled:
    """Run the whole cached chain for a recipe and release its student; the recipe is saved in $DISTILL_HOME.

    Args:
        recipe: What to distil. Relative paths in it count from the working folder.
        force: Stages to compute although the store holds their outputs.
        override_reason: Why to release a student that the gate would refuse; its card shows it.
        overwrite: Whether to replace a saved recipe of this name that has other settings.

    Raises:
        DistillError: The recipe, its teacher or a file can't be used, a stage failed, or the gate refused the student.
    """
    from distill_pipeline.cli.summary import explain_failure, stage_metadata

    home, forced = Home(default_home()), forced_stages(",".join(force))
    home.check_writable()
    recipe = make_recipe(recipe.model_dump(exclude_unset=True), source="recipe")
    check_recipe(home, recipe)
    if not overwrite:
        home.check_settings_stay(recipe)
    check_release(home, recipe, forced, override_reason)
    home.save_recipe(recipe)
    with running(home) as run:
        result = run(recipe, forced=forced, override_reason=override_reason)
    if not result.success:
        raise DistillError(explain_failure(result))
    stages = stage_metadata(result)
    report = stages["quality_report"]
    return Distilled(
        folder=home.releases / recipe.name,
        figures={name: report[name] for name in _FIGURES},
        cache={stage: str(metadata["cache"]) for stage, metadata in stages.items()},
        recipe=recipe,
    )

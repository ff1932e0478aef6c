"""The baseline of a student: what `model2vec.distill` makes of the same teacher in as many dimensions."""

from __future__ import annotations

from collections.abc import Mapping

from distill_pipeline.chain.stages import model2vec_evaluation_key, stage_keys
from distill_pipeline.recipe.presets import PRESETS
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey

BASELINE_STAGES = ("vocabulary", "token_embeddings", "student_matrix", "static_model")
"""The stages that the baseline's student needs."""

_TEACHER_FIELDS = (
    "name",
    "teacher",
    "revision",
    "trust_remote_code",
    "allow_pickled_weights",
    "device",
    "patience_seconds",
)
"""Fields that say which teacher, and how to get at it."""


def baseline_recipe(recipe: Recipe, dimensions: int) -> Recipe:
    """Return the preset `model2vec` for a recipe's teacher.

    Its stages have the keys that a recipe of this preset has, so they are made once for all recipes of the teacher.

    Args:
        recipe: Whose teacher.
        dimensions: The student's; no more than the teacher's.
    """
    fields = {
        **PRESETS["model2vec"],
        "pca_dims": dimensions,
        **{name: getattr(recipe, name) for name in _TEACHER_FIELDS},
    }
    return Recipe.model_validate(fields)


def baseline_keys(recipe: Recipe, teacher_identity: Mapping[str, str], report: StageKey) -> list[StageKey]:
    """Return the keys of what this recipe's report is compared with; none where only the data tells its dimensions.

    Args:
        recipe: The recipe.
        teacher_identity: What pins its teacher's files.
        report: The key of its `quality_report`.
    """
    if not recipe.compare_with_model2vec or not isinstance(recipe.pca_dims, int):
        return []
    keys = stage_keys(baseline_recipe(recipe, recipe.pca_dims), teacher_identity)
    return [*(keys[stage] for stage in BASELINE_STAGES), model2vec_evaluation_key(report, keys["static_model"])]


def baseline_record(recipe_name: str) -> str:
    """Return the name under which the store remembers what a recipe is compared with, so that `gc` keeps it."""
    return f"{recipe_name}/model2vec"

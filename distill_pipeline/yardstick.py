"""What a student is measured against: what `model2vec.distill` makes of the same teacher in as many dimensions."""

from __future__ import annotations

from distill_pipeline.presets import PRESETS
from distill_pipeline.recipe import Recipe

SHARED = ("name", "teacher", "revision", "trust_remote_code", "allow_pickled_weights", "device", "patience_seconds")
"""Fields that say which teacher, and how to get at it."""


def yardstick(recipe: Recipe, dimensions: int) -> Recipe:
    """Return the preset `model2vec` for a recipe's teacher.

    Its stages have the keys that a recipe of this preset has, so they are made once for all recipes of the teacher.

    Args:
        recipe: Whose teacher.
        dimensions: The student's; no more than the teacher's.
    """
    fields = {**PRESETS["model2vec"], "pca_dims": dimensions, **{name: getattr(recipe, name) for name in SHARED}}
    return Recipe.model_validate(fields)

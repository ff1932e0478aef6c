"""The baseline of a student: what `model2vec.distill` makes of the same teacher in the same number of dimensions."""

from collections.abc import Mapping

from distill_pipeline.chain.stages import model2vec_evaluation_key, stage_keys
from distill_pipeline.recipe.presets import PRESETS
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey

BASELINE_STAGES = ("vocabulary", "token_embeddings", "student_matrix", "static_model")
"""The stages that the baseline needs."""

_SHARED = {"name", "teacher", "revision", "trust_remote_code", "allow_pickled_weights", "device", "patience_seconds"}


def baseline_recipe(recipe: Recipe, dimensions: int) -> Recipe:
    """Return the recipe of the preset `model2vec` for a recipe's teacher, with at most the teacher's dimensions.

    Its keys are those of any recipe with this preset, so its stages are made once for all recipes of the teacher.
    """
    fields = {**PRESETS["model2vec"], "pca_dims": dimensions, **recipe.model_dump(include=_SHARED)}
    return Recipe.model_validate(fields)


def baseline_keys(recipe: Recipe, teacher_identity: Mapping[str, str], report: StageKey) -> list[StageKey]:
    """Return the keys of the baseline's stages and of its evaluation beside the recipe's `quality_report`.

    Empty when the recipe asks for no baseline, or when its number of dimensions follows from the data.
    """
    if not recipe.compare_with_model2vec or not isinstance(recipe.pca_dims, int):
        return []
    keys = stage_keys(baseline_recipe(recipe, recipe.pca_dims), teacher_identity)
    return [*(keys[stage] for stage in BASELINE_STAGES), model2vec_evaluation_key(report, keys["static_model"])]


def baseline_record(recipe_name: str) -> str:
    """Return the name under which the store records a recipe's baseline, so that `gc` keeps it."""
    return f"{recipe_name}/model2vec"

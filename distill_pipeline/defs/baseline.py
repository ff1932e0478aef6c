"""The yardstick's student, made with the works of the assets themselves and kept in the store like theirs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from distill_pipeline.chain.baseline import STUDENT_STAGES, yardstick
from distill_pipeline.defs.assets import static_model, student_matrix, token_embeddings, vocabulary
from distill_pipeline.defs.encode import EncoderConfig
from distill_pipeline.defs.stage import StageRun, Work
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.output import Output, StoreError

_WORKS: Mapping[str, Work] = {
    "vocabulary": vocabulary.work,
    "token_embeddings": lambda run: token_embeddings.work(run, EncoderConfig()),
    "student_matrix": student_matrix.work,
    "static_model": static_model.work,
}
_RESUMABLE = frozenset({"token_embeddings"})


def yardstick_student(run: StageRun, dimensions: int) -> Output | None:
    """Return what `model2vec.distill` makes of this recipe's teacher; None when that is this recipe's student itself.

    Only what the store lacks is computed; of the stages before, nothing when the student is there.

    Args:
        run: The recipe's stage that wants it.
        dimensions: The student's.
    """
    plain = yardstick(run.recipe, min(dimensions, run.teacher_source.dimensions))
    keys, store = run.home.stage_keys(plain), run.home.store
    if keys["static_model"].fingerprint == run.keys["static_model"].fingerprint:
        return None
    for stage in STUDENT_STAGES:
        store.remember(yardstick_memory(run.recipe.name), keys[stage])
    try:
        return store.get(keys["static_model"])
    except StoreError:
        run.log("for the comparison, this teacher is distilled as model2vec does it")
    for stage in STUDENT_STAGES:
        make = partial(_make, run, plain, keys[stage], _WORKS[stage])
        store.get_or_make(keys[stage], make, resumable=stage in _RESUMABLE, log=run.log)
    return store.get(keys["static_model"])


def yardstick_memory(recipe_name: str) -> str:
    """Return the name under which the store remembers what a recipe is compared with, so that it is kept."""
    return f"{recipe_name}/model2vec"


def _make(run: StageRun, plain: Recipe, key: StageKey, work: Work, folder: Path) -> Mapping[str, Any]:
    return work(StageRun(plain, key, folder, run.home, run.home.stage_keys(plain), run.log))

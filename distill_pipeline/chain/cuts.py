"""What a student keeps with fewer of its dimensions: measured when it is released, and stored beside its report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from distill_pipeline.chain.stages import cuts_key, teacher_evaluation_key
from distill_pipeline.quality.agreement import Rows, compare
from distill_pipeline.quality.labelled import is_mteb, score_sets
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.embeddings import Embeddings, part_name
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store, upstream_output
from distill_pipeline.store.output import StoreError

_LEAST = 8
"""Dimensions: what fewer keep is of no use."""


def student_cuts(store: Store, recipe: Recipe, keys: Mapping[str, StageKey]) -> Sequence[Mapping[str, Any]]:
    """Return what a student keeps with the leading half and quarter of its dimensions, each as one mapping.

    They hold `dimensions`, the measures of `compare` with the teacher, and `score`, the mean on the recipe's labelled
    sets, or None without any. MTEB's tasks, which take long, don't count. Nothing is returned for a student whose
    dimensions are not in an order of importance.

    Raises:
        StoreError: The student, or the teacher's part in its report, is missing from the store or damaged.
    """
    model = upstream_output(store, recipe.name, keys["static_model"])
    if recipe.pca_dims is None or recipe.space == "teacher":
        return []
    sets = [name for name in recipe.resolved("labelled_sets") if not is_mteb(name)]

    def make(_: Path) -> Mapping[str, Any]:
        from model2vec import StaticModel

        try:
            teacher = store.get(teacher_evaluation_key(keys["quality_report"]))
        except StoreError as error:
            raise StoreError(
                f"{recipe.name}: the teacher's part of its quality report is missing or damaged: run it again with "
                "--force quality_report"
            ) from error
        texts = pq.read_table(teacher.folder / part_name(0), columns=["text"])["text"].to_pylist()
        vectors, student = Embeddings.of_parts(teacher.folder).all(), StaticModel.from_pretrained(model.folder)
        found = []
        for dimensions in (student.dim // 2, student.dim // 4):
            if dimensions < _LEAST:
                break

            def leading(texts: Sequence[str], dimensions: int = dimensions) -> Rows:
                return np.asarray(student.encode(texts))[:, :dimensions]

            scores = [entry["score"] for entry in score_sets(sets, leading)]
            score = round(sum(scores) / len(scores), 6) if scores else None
            found.append({"dimensions": dimensions, **compare(vectors, leading(texts)), "score": score})
        return {"cuts": found}

    cuts: Sequence[Mapping[str, Any]] = store.get_or_make(cuts_key(keys["quality_report"]), make)[0].facts["cuts"]
    return cuts

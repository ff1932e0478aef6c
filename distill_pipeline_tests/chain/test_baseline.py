"""The baseline: model2vec's rows from those of the student's vocabulary, and from the teacher where it has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from model2vec.distill import distill

from distill_pipeline.chain.baseline import baseline_rows
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.embeddings import unit_rows
from distill_pipeline.vocabulary.vocabulary import teacher_entries
from distill_pipeline_tests.running import Chain
from distill_pipeline_tests.teachers import load_plainly


@pytest.mark.parametrize(("pooling", "reused"), [("auto", True), ("mean", True), ("first", False)])
def test_the_teacher_reads_for_the_baseline_only_what_the_student_has_not(
    chain: Chain, recipe: Callable[..., Recipe], modernbert: Path, pooling: str, reused: bool
) -> None:
    made = recipe(pooling=pooling, precision="float32")
    chain.run(made, ["vocabulary", "token_embeddings"])
    entries, read = teacher_entries(modernbert), list[int]()
    teacher = load_plainly(modernbert)
    teacher.forward.pooling = "mean"

    def encode(sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        read.append(len(sequences))
        return teacher.rows(sequences)

    vocabulary, embeddings = (chain.output(made, stage).folder for stage in ("vocabulary", "token_embeddings"))
    assert ("length" in pq.read_schema(embeddings / "part-000000.parquet").names) == (pooling == "auto")
    rows = baseline_rows(entries, vocabulary, embeddings, encode)[:, :8]
    assert (sum(read) < 0.5 * len(entries.tokens)) == reused
    theirs = distill(str(modernbert), pca_dims=8, pooling="mean", quantize_to="float32")
    cosines = (unit_rows(rows) * unit_rows(theirs.embedding)).sum(axis=1)
    assert cosines.min() > 0.99999

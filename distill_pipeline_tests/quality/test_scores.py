"""Scores against their definitions, and their standard errors against repetition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import mannwhitneyu

from distill_pipeline.quality.scores import area_under_curve, cross_validated_accuracy, ndcg, spearman, v_measure
from distill_pipeline.store.embeddings import unit_rows

Rows = npt.NDArray[np.float64]


def _clouds(seed: int, spread: float = 0.6) -> tuple[Rows, npt.NDArray[np.str_]]:
    """Rows of four classes around their middles."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 30)
    return unit_rows(np.eye(8)[labels] + random.normal(0, spread, (len(labels), 8))), labels.astype(str)


def test_the_error_of_an_area_is_the_spread_that_repetition_shows() -> None:
    def drawn(seed: int) -> tuple[Rows, Rows]:
        random = np.random.default_rng(seed)
        return random.normal(0.8, 1, 150), random.normal(0, 1, 100)

    scores = [area_under_curve(*drawn(seed)) for seed in range(200)]
    spread = float(np.std([score.value for score in scores]))
    assert spread == pytest.approx(np.mean([score.error or 0 for score in scores]), rel=0.2)
    alike, unlike = drawn(0)
    assert scores[0].value == pytest.approx(mannwhitneyu(alike, unlike).statistic / (len(alike) * len(unlike)))
    assert area_under_curve(np.ones(5), np.ones(5)).value == 0.5


def test_the_error_of_a_correlation_is_the_spread_that_repetition_shows() -> None:
    def drawn(seed: int) -> tuple[Rows, Rows, list[float]]:
        random = np.random.default_rng(seed)
        first, second = (unit_rows(random.normal(size=(120, 3))) for _ in range(2))
        return first, second, ((first * second).sum(axis=1) + random.normal(0, 0.5, 120)).tolist()

    scores = [spearman(*drawn(seed)) for seed in range(60)]
    spread = float(np.std([score.value for score in scores]))
    assert spread == pytest.approx(np.mean([score.error or 0 for score in scores]), rel=0.35)


def test_classes_that_lie_apart_are_found_and_mixed_ones_are_not() -> None:
    apart, mixed = _clouds(0, spread=0.3), (_clouds(0)[0], np.random.default_rng(0).permutation(_clouds(0)[1]))
    assert cross_validated_accuracy(*apart).value > 0.9
    found = cross_validated_accuracy(*mixed)
    assert found.value < 0.45
    assert 0.02 < (found.error or 0) <= np.sqrt(found.value * (1 - found.value) / 119)
    assert v_measure(*_clouds(0, spread=0.1)).value > 0.9
    assert v_measure(*mixed).value < 0.2


def test_a_relevant_document_counts_by_its_place_and_by_what_could_be_reached() -> None:
    documents = unit_rows(np.column_stack([np.linspace(1, 0, 30), np.linspace(0, 1, 30)]))
    query = documents[:1]
    assert ndcg(query, documents, [{0: 1.0}]).value == 1
    assert ndcg(query, documents, [{2: 1.0}]).value == pytest.approx(1 / np.log2(4))
    assert ndcg(query, documents, [{10: 1.0}]).value == 0
    assert ndcg(query, documents, [{0: 1.0, 99: 1.0}]).value == pytest.approx(1 / (1 + 1 / np.log2(3)))
    # Equally similar documents: the first come first, however many.
    assert ndcg(query, np.repeat(query, 30, axis=0), [{9: 1.0}]).value > 0
    assert ndcg(query, np.repeat(query, 30, axis=0), [{10: 1.0}]).value == 0

"""Weights fall with the probability, and unknown entries weigh nothing."""

from __future__ import annotations

import numpy as np
import pytest

from distill_pipeline.fitting.weightings import row_weights

PROBABILITIES = np.array([0.5, 0.25, 1e-6])
GROUPS = np.array([-1, 0, 0], dtype=np.int8)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("frequency", [0, 1e-3 / 0.251, 1e-3 / (1e-3 + 1e-6)]),
        ("none", [1, 1, 1]),
        # By rank: 1/2, 1/3 and 1/4 over their sum 13/12. Unknown keeps its weight, as in model2vec.
        ("zipf", [1e-4 / (1e-4 + 6 / 13), 1e-4 / (1e-4 + 4 / 13), 1e-4 / (1e-4 + 3 / 13)]),
    ],
)
def test_weights_are_those_of_the_formula(name: str, weights: list[float]) -> None:
    np.testing.assert_allclose(row_weights(name, PROBABILITIES, GROUPS), weights, rtol=1e-12)

"""How much each vocabulary entry counts in a text's mean: a table of functions, by the weighting's name in recipes.

`fitted` is not here: only a refinement's texts decide it (`fit_start`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill_pipeline.vocabulary.frequencies import zipf_probabilities

Weights = npt.NDArray[np.float64]

SIF_COEFFICIENTS: Mapping[str, float] = {"frequency": 1e-3, "zipf": 1e-4}
"""The coefficient a of a / (a + p): the one that suits real frequencies, and model2vec's for ranks."""


@dataclass(frozen=True)
class Weighting:
    """One way to weight.

    Attributes:
        weights: Returns float64 (rows,) for the entries' probabilities, float64 (rows,).
        keeps_unknown: Whether the rows of unknown and padding keep their weight, as in model2vec.
    """

    weights: Callable[[Weights], Weights]
    keeps_unknown: bool = False


def sif_weights(probabilities: Weights, coefficient: float) -> Weights:
    """Return the smooth inverse frequency weight a / (a + p) of each probability, float64 (rows,).

    Arora, Liang and Ma 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", equation 3.
    """
    weights: Weights = coefficient / (coefficient + np.asarray(probabilities, dtype=np.float64))
    return weights


_WEIGHTINGS: Mapping[str, Weighting] = {
    "frequency": Weighting(lambda p: sif_weights(p, SIF_COEFFICIENTS["frequency"])),
    "none": Weighting(lambda p: np.ones(len(p)), keeps_unknown=True),
    "zipf": Weighting(lambda p: sif_weights(zipf_probabilities(len(p)), SIF_COEFFICIENTS["zipf"]), keeps_unknown=True),
}


def row_weights(name: str, probabilities: Weights, groups: npt.NDArray[np.int8]) -> Weights:
    """Return the weight of each row, float64 (rows,).

    Args:
        name: A weighting that needs no texts.
        probabilities: The vocabulary's, (rows,).
        groups: Of `entry_groups`, (rows,).
    """
    weighting = _WEIGHTINGS[name]
    weights = weighting.weights(probabilities)
    return weights if weighting.keeps_unknown else np.where(groups < 0, 0.0, weights)

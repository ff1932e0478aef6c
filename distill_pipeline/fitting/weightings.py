"""How much each vocabulary entry counts in a text's mean: a table of functions by the weighting's name in recipes.

`fitted` is not among them: it needs a refinement's texts (see `fit_start`).
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from distill_pipeline.vocabulary.frequencies import zipf_probabilities

Weights = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int8]

SIF_COEFFICIENTS: Mapping[str, float] = {"frequency": 1e-3, "zipf": 1e-4}
"""The coefficient a of a / (a + p): one that suits real frequencies, and model2vec's for ranks."""


def sif_weights(probabilities: Weights, coefficient: float) -> Weights:
    """Return the smooth inverse frequency weight a / (a + p) of each probability, float64 (rows,).

    Arora, Liang and Ma 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", equation 3.
    """
    weights: Weights = coefficient / (coefficient + np.asarray(probabilities, dtype=np.float64))
    return weights


# As in model2vec, unknown and padding keep their weight unless it comes from real frequencies.
_WEIGHTINGS: Mapping[str, Callable[[Weights, Groups], Weights]] = {
    "frequency": lambda p, groups: np.where(groups < 0, 0.0, sif_weights(p, SIF_COEFFICIENTS["frequency"])),
    "none": lambda p, _: np.ones(len(p)),
    "zipf": lambda p, _: sif_weights(zipf_probabilities(len(p)), SIF_COEFFICIENTS["zipf"]),
}


def row_weights(name: str, probabilities: Weights, groups: Groups) -> Weights:
    """Return the weight of each row, float64 (rows,), given the vocabulary's frequencies and `entry_groups`."""
    return _WEIGHTINGS[name](probabilities, groups)

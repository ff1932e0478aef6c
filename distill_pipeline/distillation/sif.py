"""Smooth inverse frequency, and Zipf's law where no frequencies are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def zipf_probabilities(rows: int) -> npt.NDArray[np.float64]:
    """Return probabilities by Zipf's law, the entry's row as its rank: p(row) proportional to 1 / (row + 2).

    The offset is model2vec's, so that weights agree with `model2vec.distill`. Returns float64 (rows,), sum 1.
    """
    inverse_rank = 1 / np.arange(2, rows + 2, dtype=np.float64)
    probabilities: npt.NDArray[np.float64] = inverse_rank / inverse_rank.sum()
    return probabilities


def sif_weights(probabilities: npt.NDArray[np.float64], coefficient: float) -> npt.NDArray[np.float64]:
    """Return the smooth inverse frequency weight a / (a + p) of each probability, float64 (rows,).

    Arora, Liang and Ma 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", equation 3.
    """
    weights: npt.NDArray[np.float64] = coefficient / (coefficient + np.asarray(probabilities, dtype=np.float64))
    return weights

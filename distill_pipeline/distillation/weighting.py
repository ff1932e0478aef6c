"""How much each vocabulary entry counts in a text's mean."""

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


def row_weights(weighting: str, frequencies: npt.NDArray[np.float64], coefficient: float) -> npt.NDArray[np.float64]:
    """Return the weight of each row, float64 (rows,).

    Args:
        weighting: "none"; "zipf", by the row's rank; or "frequency", by the entries' own frequencies.
        frequencies: The vocabulary's, (rows,).
        coefficient: a of `sif_weights`.
    """
    if weighting == "none":
        return np.ones(len(frequencies))
    return sif_weights(frequencies if weighting == "frequency" else zipf_probabilities(len(frequencies)), coefficient)


def sif_weights(probabilities: npt.NDArray[np.float64], coefficient: float) -> npt.NDArray[np.float64]:
    """Return the smooth inverse frequency weight a / (a + p) of each probability, float64 (rows,).

    Arora, Liang and Ma 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", equation 3.
    """
    weights: npt.NDArray[np.float64] = coefficient / (coefficient + np.asarray(probabilities, dtype=np.float64))
    return weights

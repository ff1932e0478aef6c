"""Smooth inverse frequency by the row's rank, as model2vec does it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distill_pipeline.distillation.sif import sif_weights, zipf_probabilities
from distill_pipeline.distillation.weightings import Weighting, Weights


def _weights(probabilities: npt.NDArray[np.float64], sif_coefficient: float) -> Weights:
    return sif_weights(zipf_probabilities(len(probabilities)), sif_coefficient)


# Rows of unknown and padding stay, as model2vec keeps them.
WEIGHTING = Weighting(
    "a / (a + p), p by Zipf's law from the row's rank", _weights, reads=("sif_coefficient",), silences=False
)

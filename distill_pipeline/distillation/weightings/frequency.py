"""Smooth inverse frequency by real word frequencies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distill_pipeline.distillation.sif import sif_weights
from distill_pipeline.distillation.weightings import Weighting, Weights


def _weights(probabilities: npt.NDArray[np.float64], sif_coefficient: float) -> Weights:
    return sif_weights(probabilities, sif_coefficient)


WEIGHTING = Weighting("a / (a + p), p from real word frequencies", _weights, reads=("sif_coefficient",))

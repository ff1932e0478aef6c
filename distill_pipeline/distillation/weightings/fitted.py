"""A curve over the frequency, fitted so that the texts' means come closest to the teacher's embeddings of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.distillation.weightings import Weighting


def _fit(
    rows: Callable[[], Any],
    axes: npt.NDArray[np.float64],
    entries: tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]],
    shares: Any,
    targets: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    from distill_pipeline.distillation.refinement import fit_start, weight_curves

    return fit_start(rows, axes, weight_curves(*entries), shares, targets)


WEIGHTING = Weighting("a curve over frequency fitted to the refinement's texts", fit=_fit)

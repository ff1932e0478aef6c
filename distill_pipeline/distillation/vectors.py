"""Rows at unit length."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def unit_rows(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return each row of (n, dims) divided by its length, float64; a row of zeros stays zero."""
    wide = rows.astype(np.float64)
    unit: npt.NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return unit

"""The Pareto front: what nothing else beats in both of two respects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pareto_front(gains: Sequence[float], others: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Tell which points are on the front of two figures that are better the greater they are.

    Args:
        gains: One figure of each point.
        others: The other figure; give a cost, such as a size, negated.

    Returns:
        bool (points,): no other point is at least as good in both and better in one. Equal points are on it together.
    """
    points = np.column_stack([gains, others]).astype(float)
    as_good = np.all(points[None, :, :] >= points[:, None, :], axis=2)
    better = np.any(points[None, :, :] > points[:, None, :], axis=2)
    front: npt.NDArray[np.bool_] = np.logical_not(np.any(as_good & better, axis=1))
    return front

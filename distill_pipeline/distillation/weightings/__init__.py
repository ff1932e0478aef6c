"""How much each vocabulary entry counts in a text's mean: one module per weighting, named as recipes name it.

Every module of this package holds one `WEIGHTING`; adding a module adds a weighting, see docs/extending.md. Knows
nothing of recipes beyond the names of their fields, and imports nothing heavier than numpy.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import DistillError

Weights = npt.NDArray[np.float64]


class WeightingError(DistillError):
    """A module of this package doesn't do what a weighting must; the message says which and how."""


class Fit(Protocol):
    """Chooses weights by the texts of a refinement."""

    def __call__(
        self,
        rows: Callable[[], Any],
        axes: npt.NDArray[np.float64],
        entries: tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]],
        shares: Any,
        targets: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return the refinement's start (entries, dims), weighted, and the weights (entries,), both float32.

        Args:
            rows: Starts a pass over the teacher's embeddings of the entries, centred, (n, teacher dims) each.
            axes: (teacher dims, dims) the directions of the texts.
            entries: Probabilities (entries,), and groups (entries,) of `entry_groups`.
            shares: Sparse (texts, entries): which share of a text's tokens each entry is.
            targets: (texts, dims) the teacher's embeddings of the texts.
        """


@dataclass(frozen=True)
class Weighting:
    """One way to weight; exactly one of `weights` and `fit` is given.

    Attributes:
        description: Half a sentence for the recipe's reference: "a / (a + p), p from ...".
        weights: `weights(probabilities, **fields)` returns float64 (rows,) for probabilities float64 (rows,).
        reads: Fields of the recipe that `weights` takes by name. They become part of the stage's fingerprint.
        silences: Whether rows of what is no text (unknown, padding) weigh nothing.
        fit: For a weighting that only a refinement's texts can decide.
    """

    description: str
    weights: Callable[..., Weights] | None = None
    reads: tuple[str, ...] = ()
    silences: bool = True
    fit: Fit | None = None


@cache
def weightings() -> Mapping[str, Weighting]:
    """Return every weighting by its name, in alphabetical order."""
    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        if not isinstance(getattr(module, "WEIGHTING", None), Weighting):
            raise WeightingError(f"{module.__file__} has no WEIGHTING, or it is no Weighting: see docs/extending.md")
        found[name] = module.WEIGHTING
    return found


def row_weights(name: str, probabilities: npt.NDArray[np.float64], fields: Mapping[str, Any]) -> Weights:
    """Return the weight of each row, float64 (rows,).

    Args:
        name: A weighting that needs no texts.
        probabilities: The vocabulary's, (rows,).
        fields: Values of the recipe's fields that the weighting reads.

    Raises:
        WeightingError: The weighting gives anything but one finite weight of at least 0 for each row.
    """
    weights = weightings()[name].weights
    if weights is None:
        raise ValueError(f"{name} is fitted to texts")
    found = np.asarray(weights(probabilities, **fields), dtype=np.float64)
    if found.shape != probabilities.shape:
        raise WeightingError(f"weighting {name} gives weights {found.shape} for rows {probabilities.shape}")
    bad = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if len(bad):
        raise WeightingError(
            f"weighting {name} gives {found[bad[0]]} for probability {probabilities[bad[0]]:.3g}, and {len(bad)} "
            "such rows in all; a weight is finite and at least 0"
        )
    return found

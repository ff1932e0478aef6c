"""Principal components of rows that need not fit in memory. Knows nothing of recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import RecipeError
from distill_pipeline.store.disk import Stamp, stamps
from distill_pipeline.store.embeddings import Embeddings

Batches = Callable[[], Iterable[npt.NDArray[np.floating]]]
"""Starts a new pass over the rows."""


@dataclass(frozen=True)
class PrincipalComponents:
    """A fitted rotation, strongest direction first; all arrays float64.

    Attributes:
        mean: (dims,) mean of the rows.
        axes: (dims, kept) unit columns, each with its sign fixed.
        variances: (dims,) variance along every direction, the dropped ones included.
    """

    mean: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]

    @property
    def explained(self) -> npt.NDArray[np.float64]:
        """Cumulative share of variance after each direction, (dims,)."""
        shares: npt.NDArray[np.float64] = np.cumsum(self.variances) / self.variances.sum()
        return shares

    def transform(self, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Project (n, dims) rows to float64 (n, kept)."""
        scores: npt.NDArray[np.float64] = (rows.astype(np.float64) - self.mean) @ self.axes
        return scores


@dataclass(frozen=True)
class Spread:
    """How rows are spread: all of their principal directions, strongest first, whose signs mean nothing.

    Attributes:
        count: Number of rows.
        mean: float64 (dims,).
        axes: float64 (dims, dims), unit columns.
        variances: float64 (dims,).
    """

    count: int
    mean: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    variances: npt.NDArray[np.float64]


def fit_principal_components(
    batches: Batches, keep: int | float | str, *, spread: Spread | None = None
) -> PrincipalComponents:
    """Fit in three passes that hold one batch and one (dims, dims) matrix, all in float64.

    The third pass fixes each axis' sign: the row farthest out along it lies on the positive side, as in
    model2vec, so that equal rows give equal bytes whatever sign the eigensolver returns.

    Args:
        batches: Starts a pass over the rows, (n, dims) each.
        keep: Number of directions, the least share of variance to explain (a float below 1), or "auto" for all.
        spread: Of these rows, if it is known: the first two passes, which no `keep` changes.

    Raises:
        RecipeError: More directions are asked for than there are dimensions, or than there are rows less one.
    """
    spread = spread or decompose(batches)
    kept = count_directions(keep, spread.variances, spread.count)
    axes = spread.axes[:, :kept]
    low, high = np.full(kept, np.inf), np.full(kept, -np.inf)
    for batch in batches():
        scores = (batch.astype(np.float64) - spread.mean) @ axes
        low, high = np.minimum(low, scores.min(axis=0)), np.maximum(high, scores.max(axis=0))
    return PrincipalComponents(spread.mean, axes * np.where(-low > high, -1.0, 1.0), spread.variances)


def decompose(batches: Batches) -> Spread:
    """Find the mean and the principal directions in two passes over the rows, (n, dims) a batch."""
    count, total = 0, np.float64(0)
    for batch in batches():
        count += len(batch)
        total = total + batch.sum(axis=0, dtype=np.float64)
    mean = np.asarray(total / count)
    gram = np.zeros((len(mean), len(mean)))
    for batch in batches():
        centred = batch.astype(np.float64) - mean
        gram += centred.T @ centred
    values, vectors = np.linalg.eigh(gram / max(count - 1, 1))
    return Spread(count, mean, vectors[:, ::-1], np.clip(values[::-1], 0, None))


def count_directions(keep: int | float | str, variances: npt.NDArray[np.float64], rows: int) -> int:
    """Return how many directions `keep` asks for. Raises `RecipeError` as `fit_principal_components` does."""
    dimensions = len(variances)
    if keep == "auto":
        return dimensions
    if isinstance(keep, float):
        explained = np.cumsum(variances) / variances.sum()
        return min(int(np.searchsorted(explained, keep)) + 1, dimensions)
    check_dimensions(int(keep), dimensions)
    if int(keep) >= rows:
        raise RecipeError(f"pca_dims={keep} needs more than {rows} rows to be fitted to. Choose fewer.")
    return int(keep)


def check_dimensions(keep: int, dimensions: int) -> None:
    """Raise `RecipeError` when more directions are asked for than the teacher's vectors have."""
    if keep > dimensions:
        raise RecipeError(
            f"pca_dims={keep} exceeds the teacher's {dimensions} dimensions. Choose {dimensions} or fewer."
        )


def cached_decomposition(embeddings: Embeddings) -> Spread:
    """Return how the rows are spread; it is remembered for the two sets of files that were asked for last.

    The recipes of a sweep differ in what is kept of it, and ask one after the other.
    """
    return _spread(stamps(embeddings.paths))


@lru_cache(maxsize=2)  # a recipe that refines has entries and texts
def _spread(files: tuple[Stamp, ...]) -> Spread:
    return decompose(Embeddings([file.path for file in files]).batches)

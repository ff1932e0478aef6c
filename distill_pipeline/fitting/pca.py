"""Principal components of rows that need not fit in memory. Knows nothing of recipes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import RecipeError
from distill_pipeline.fitting.parallel import in_order
from distill_pipeline.store.disk import Stamp, stamps
from distill_pipeline.store.embeddings import Embeddings

Floats = npt.NDArray[np.float64]
Batches = Callable[[], Iterable[npt.NDArray[np.floating]]]
"""Starts a new pass over the rows."""


@dataclass(frozen=True)
class PrincipalComponents:
    """The mean and principal directions of rows, strongest first; all arrays float64.

    Attributes:
        rows: Number of rows.
        mean: (dims,).
        axes: (dims, kept) unit columns.
        variances: (dims,) variance along every direction, including those dropped.
    """

    rows: int
    mean: Floats
    axes: Floats
    variances: Floats

    @property
    def explained(self) -> Floats:
        """Cumulative share of variance after each direction, (dims,)."""
        shares: Floats = np.cumsum(self.variances) / self.variances.sum()
        return shares

    def transform(self, rows: npt.NDArray[np.floating]) -> Floats:
        """Project (n, dims) rows to float64 (n, kept)."""
        scores: Floats = (rows.astype(np.float64) - self.mean) @ self.axes
        return scores


def fit_principal_components(batches: Batches, pca_dims: int | float | str) -> PrincipalComponents:
    """Fit in two passes that hold few batches and (dims, dims) matrices, all in float64.

    Args:
        batches: Starts a pass over the rows, (n, dims) each.
        pca_dims: Number of directions, share of variance to explain (a float below 1), or "auto" for all.

    Raises:
        RecipeError: `pca_dims` exceeds the rows' dimensions, or is not below the number of rows.
    """
    return _first(_fit_all(batches), pca_dims)


def cached_components(embeddings: Embeddings, pca_dims: int | float | str) -> PrincipalComponents:
    """Return what `fit_principal_components` does; the recipes of a sweep ask for the same rows in turn."""
    return _first(_fit_files(stamps(embeddings.paths)), pca_dims)


@lru_cache(maxsize=2)  # a recipe with a refinement has entries and texts
def _fit_files(files: tuple[Stamp, ...]) -> PrincipalComponents:
    return _fit_all(Embeddings([file.path for file in files]).batches)


def _first(found: PrincipalComponents, pca_dims: int | float | str) -> PrincipalComponents:
    return replace(found, axes=found.axes[:, : count_directions(pca_dims, found)])


def _fit_all(batches: Batches) -> PrincipalComponents:
    """Return all principal directions of the rows.

    The second pass fixes each axis' sign: the row farthest out along it lies on the positive side, as in
    model2vec, so that equal rows give equal bytes whatever sign the eigensolver returns.
    """
    found = _decompose(batches)
    low, high = np.full(len(found.mean), np.inf), np.full(len(found.mean), -np.inf)

    def extremes(batch: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
        scores = found.transform(batch)
        return scores.min(axis=0), scores.max(axis=0)

    for lowest, highest in in_order(extremes, batches()):
        low, high = np.minimum(low, lowest), np.maximum(high, highest)
    return replace(found, axes=found.axes * np.where(-low > high, -1.0, 1.0))


def _decompose(batches: Batches) -> PrincipalComponents:
    """Return all principal directions of the rows, with arbitrary signs, in one pass."""
    batches_left = iter(batches())
    first = next(batches_left)
    # Rows less a point among them: sums of squares far from zero would lose the digits that their mean takes away.
    near = first.mean(axis=0, dtype=np.float64)

    def sums(batch: npt.NDArray[np.floating]) -> tuple[int, Floats, Floats]:
        shifted = batch.astype(np.float64) - near
        return len(batch), shifted.sum(axis=0), shifted.T @ shifted

    count, total, gram = 0, np.zeros(len(near)), np.zeros((len(near), len(near)))
    for rows, total_of_batch, gram_of_batch in in_order(sums, chain([first], batches_left)):
        count += rows
        total += total_of_batch
        gram += gram_of_batch
    mean = total / count
    values, vectors = np.linalg.eigh((gram - count * np.outer(mean, mean)) / max(count - 1, 1))
    return PrincipalComponents(count, near + mean, vectors[:, ::-1], np.clip(values[::-1], 0, None))


def count_directions(pca_dims: int | float | str, components: PrincipalComponents) -> int:
    """Return how many directions `pca_dims` keeps. Raises `RecipeError` as `fit_principal_components` does."""
    dimensions = len(components.variances)
    if pca_dims == "auto":
        return dimensions
    if isinstance(pca_dims, float):
        return min(int(np.searchsorted(components.explained, pca_dims)) + 1, dimensions)
    check_dimensions(int(pca_dims), dimensions)
    if int(pca_dims) >= components.rows:
        raise RecipeError(f"pca_dims={pca_dims} needs more than {components.rows} rows to be fitted to. Choose fewer.")
    return int(pca_dims)


def check_dimensions(pca_dims: int, dimensions: int) -> None:
    """Raise `RecipeError` if `pca_dims` exceeds the dimensions of the teacher's vectors."""
    if pca_dims > dimensions:
        raise RecipeError(
            f"pca_dims={pca_dims} exceeds the teacher's {dimensions} dimensions. Choose {dimensions} or fewer."
        )

"""The last step of the fit: bring the student's similarities of texts close to the teacher's.

Gradient descent on the squared difference between the student's and the teacher's cosines within batches of texts,
starting from the refined rows. Same seed, same bytes; plain numpy, since a batch's rows are sparse.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import sparse

from distill_pipeline.fitting.parallel import for_each, in_order, slices
from distill_pipeline.fitting.shares import TokenShares
from distill_pipeline.store.embeddings import unit_rows

Matrix = npt.NDArray[np.float32]

TEXTS_PER_STEP = 2048
_RATE = 2e-3
_BETA1, _BETA2 = 0.9, 0.98
_ROWS_AT_ONCE = 512
"""Few enough rows to stay in the processor's cache during an update."""
_TEXTS_AT_ONCE = 256
_COLUMNS_AT_ONCE = 32
_RESTRAINT = 2.0
"""A row's step is scaled by n / (n + 2), n the number of texts that hold it: rare rows move less."""


def tune_similarities(rows: Matrix, shares: TokenShares, teacher: Matrix, *, steps: int, seed: int) -> list[float]:
    """Move the rows, in place, so that cosines of texts come closer to the teacher's.

    Adam (Kingma and Ba 2015, algorithm 1) with one second moment per row, so that a row's step keeps the gradient's
    direction, a rate that falls along half a cosine, and moments that count a row's own steps: a batch holds few rows.

    Args:
        rows: float32 (entries, dims).
        shares: Of the texts.
        teacher: float32 (texts, teacher dims), centred; scaled to unit length here.
        steps: Batches to learn from.
        seed: Of the batches' order.

    Returns:
        The mean squared difference at each step.
    """
    state = _State.of(rows, shares.texts_of_entries)
    losses = []
    # The next batches are read while one is learned from.
    batches = in_order(partial(_Batch.of, shares, teacher), _batches(shares.shape[0], steps, seed))
    for step, batch in enumerate(batches):
        loss, gradient_of_means = similarity_loss(_product(batch.shares, rows[batch.held]), batch.teacher)
        losses.append(loss)
        rate = np.float32(_RATE * 0.5 * (1 + np.cos(np.pi * step / steps)))
        state.step(batch.held, _product(batch.shares.T, gradient_of_means), rate)
    return losses


@dataclass(frozen=True)
class _Batch:
    """Some texts: which entries they hold, their shares of those, and the teacher's unit embeddings of them."""

    held: npt.NDArray[np.int32]
    shares: sparse.csr_matrix
    teacher: Matrix

    @classmethod
    def of(cls, shares: TokenShares, teacher: Matrix, texts: npt.NDArray[np.integer]) -> "_Batch":
        selected = shares.select(texts)
        held, columns = np.unique(selected.indices, return_inverse=True)
        own = sparse.csr_matrix((selected.data, columns, selected.indptr), shape=(len(texts), len(held)))
        return cls(held, own, unit_rows(teacher[texts]).astype(np.float32))


@dataclass(frozen=True)
class _State:
    """The rows and Adam's moments of them, changed in place.

    Attributes:
        scale: The rows' root mean square length. Adam's steps are of one size whatever the rows', so they are taken
            times the scale.
    """

    rows: Matrix
    scale: np.float32
    first_moment: Matrix
    second_moment: Matrix
    steps: Matrix
    restraint: Matrix

    @classmethod
    def of(cls, rows: Matrix, texts: npt.NDArray[np.integer]) -> "_State":
        """Return the state to begin with; `texts` (entries,) is how many texts hold each entry."""
        squares = np.einsum("ij,ij->i", rows, rows)[texts > 0]
        second_moment, steps = np.zeros((2, len(rows), 1), dtype=np.float32)
        restraint = (texts / (texts + _RESTRAINT)).astype(np.float32)[:, None]
        # `zeros`, not `zeros_like`: memory of rows that no text holds is never touched.
        first_moment = np.zeros(rows.shape, dtype=np.float32)
        return cls(rows, np.sqrt(squares.mean()), first_moment, second_moment, steps, restraint)

    def step(self, held: npt.NDArray[np.integer], gradient: Matrix, rate: np.float32) -> None:
        """Move the rows that a batch holds."""

        def move(block: slice) -> None:
            rows, slope = held[block], gradient[block]
            moment = self.first_moment[rows]
            moment *= _BETA1
            moment += (1 - _BETA1) * slope
            self.first_moment[rows] = moment
            squares = np.einsum("ij,ij->i", slope, slope)[:, None] / slope.shape[1]
            self.second_moment[rows] = _BETA2 * self.second_moment[rows] + (1 - _BETA2) * squares
            self.steps[rows] += 1
            deviation = np.sqrt(self.second_moment[rows] / (1 - _BETA2 ** self.steps[rows])) + 1e-8 / self.scale
            factor = rate * self.scale * self.restraint[rows] / (1 - _BETA1 ** self.steps[rows]) / deviation
            self.rows[rows] -= factor * moment

        for_each(move, slices(len(held), _ROWS_AT_ONCE))


def _product(matrix: sparse.csr_matrix, rows: Matrix) -> Matrix:
    """Return matrix @ rows, in blocks of columns side by side."""
    product = np.empty((matrix.shape[0], rows.shape[1]), dtype=np.float32)

    def compute(columns: slice) -> None:
        product[:, columns] = matrix @ np.ascontiguousarray(rows[:, columns])

    for_each(compute, slices(rows.shape[1], _COLUMNS_AT_ONCE))
    return product


def _batches(texts: int, steps: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    size = min(TEXTS_PER_STEP, texts)
    order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(order) < size:
            order = random.permutation(texts)
        yield order[:size]
        order = order[size:]


def similarity_loss(
    means: npt.NDArray[np.floating], teacher: npt.NDArray[np.floating]
) -> tuple[float, npt.NDArray[np.floating]]:
    """Return the mean squared difference of the cosines off the diagonal, and 50 times its gradient by the means.

    With unit rows U and T of n texts, the difference D = UU' - TT' is never made: |D|^2 = |U'U|^2 - 2 |T'U|^2 + |T'T|^2
    and DU = U (U'U) - T (T'U), whose products are as small as the vectors are shorter than the texts are many.

    Args:
        means: (texts, dims).
        teacher: (texts, teacher dims), unit rows.
    """
    blocks = slices(len(means), _TEXTS_AT_ONCE)
    lengths = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    unit = means / lengths

    def products(texts: slice) -> tuple[npt.NDArray[np.floating], ...]:
        one, other = unit[texts], teacher[texts]
        return one.T @ one, other.T @ one, other.T @ other

    own, cross, wanted = map(sum, zip(*in_order(products, blocks), strict=True))
    diagonal = np.einsum("ij,ij->i", unit, unit) - np.einsum("ij,ij->i", teacher, teacher)
    pairs = len(means) * (len(means) - 1)
    squares = [float(np.einsum("ij,ij->", product, product, dtype=np.float64)) for product in (own, cross, wanted)]
    loss = (squares[0] - 2 * squares[1] + squares[2] - float(np.vdot(diagonal, diagonal))) / pairs

    def gradient(texts: slice) -> npt.NDArray[np.floating]:
        one = unit[texts]
        by_unit = (4 * 50 / pairs) * (one @ own - teacher[texts] @ cross - diagonal[texts, None] * one)
        by_means: npt.NDArray[np.floating] = (by_unit - one * np.einsum("ij,ij->i", one, by_unit)[:, None]) / lengths[
            texts
        ]
        return by_means

    return loss, np.concatenate(list(in_order(gradient, blocks)))

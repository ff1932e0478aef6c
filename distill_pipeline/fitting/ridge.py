"""Rows fitted so that the mean of a text's rows is the teacher's embedding of the text.

Sparse ridge regression around a good start. Let A (texts x entries) hold each text's token shares and Y the
teacher's sentence embeddings on their leading directions. The rows E minimise

    |A E - Y|^2 + lambda |E - E0|^2

for a start E0 made of the teacher's embeddings of the single entries, where a row that no text touches stays. The
normal equations (A'A + lambda I)(E - E0) = A'(Y - A E0) are solved for all columns at once by conjugate gradients
with a block-diagonal preconditioner (Saad 2003, "Iterative Methods for Sparse Linear Systems", algorithm 9.1).
Deterministic: no learning rate, no epochs, no random numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from distill_pipeline.fitting.parallel import ROWS_AT_ONCE, Spread, for_each, on_cores, project, slices
from distill_pipeline.fitting.shares import Part, TokenShares

Matrix = npt.NDArray[np.float32]
Places = slice | npt.NDArray[np.int64]
Columns = tuple[Matrix, Matrix]
Solved = tuple[Matrix, int, float]

_TOLERANCE = 3e-3
_MAX_ITERATIONS = 60
_COLUMNS_AT_ONCE = 32
"""Few enough that a block's vectors stay in the processor's cache: measured, products with 384 columns took 172 ms all
at once, and 109 by 32."""
_FREQUENT = 500
_TINY = np.float32(1e-30)


@dataclass(frozen=True)
class Solution:
    """Refined rows and how the solver ended.

    Attributes:
        rows: float32 (entries, dims).
        iterations: Conjugate gradient steps of the slowest block of columns.
        residual: Norm of the normal equations' residual relative to that at the start.
    """

    rows: Matrix
    iterations: int
    residual: float


def solve_ridge(
    shares: TokenShares,
    targets: Matrix,
    start: Matrix,
    penalty: float,
    *,
    importance: Matrix | None = None,
    guess: Matrix | None = None,
    spread: Spread[Columns, Solved] = on_cores,
) -> Solution:
    """Solve the ridge regression described at the top of this module.

    Args:
        shares: Of the texts.
        targets: float32 (texts, dims).
        start: E0, float32 (entries, dims).
        penalty: lambda.
        importance: float32 (texts,), how often each text's squared error counts; by default once.
        guess: Rows to start the iteration from, such as those for a neighbouring penalty; by default E0.
        spread: Where blocks of columns are solved; the rows have the same bytes on processors of one kind.
    """
    importance = np.ones(shares.shape[0], dtype=np.float32) if importance is None else importance
    system = _System.of(shares, importance, penalty)
    touched, columns = system.touched, slices(targets.shape[1], _COLUMNS_AT_ONCE)
    right = np.zeros((len(touched), targets.shape[1]), dtype=np.float32)
    for part, place in zip(shares.parts, system.places, strict=True):

        def add(block: slice, part: Part = part, place: Places = place) -> None:
            error = targets[part.texts, block] - part.matrix @ start[part.entries, block]
            right[place, block] += part.matrix.T @ (error * importance[part.texts, None])

        for_each(add, columns)
    first = start if guess is None else guess
    unsolved = (
        (np.ascontiguousarray(right[:, block]), first[touched, block] - start[touched, block]) for block in columns
    )
    rows, ends = start.copy(), []
    for block, (change, steps, residual) in zip(columns, spread(_solve, system, unsolved), strict=True):
        rows[touched, block] += change
        ends.append((steps, residual))
    return Solution(rows, max(steps for steps, _ in ends), max(residual for _, residual in ends))


@dataclass(frozen=True)
class _System:
    """A'WA + penalty I for the entries that the texts hold, W their importance, and its preconditioner.

    The entries that the texts hold most are few, and tie all texts together: their own part of the matrix is inverted
    whole, which halves the steps of a Jacobi preconditioner alone (measured: 18 to 10 and 14 to 6).

    Attributes:
        places: Where each part's entries are among those touched.
    """

    shares: TokenShares
    importance: Matrix
    touched: npt.NDArray[np.int64]
    places: Sequence[Places]
    penalty: np.float32
    reciprocals: Matrix
    frequent: npt.NDArray[np.int64]
    inverse: Matrix

    @classmethod
    def of(cls, shares: TokenShares, importance: Matrix, penalty: float) -> "_System":
        diagonal = np.zeros(shares.shape[1])
        for part in shares.parts:
            weights = np.repeat(importance[part.texts], np.diff(part.matrix.indptr)) * part.matrix.data**2
            diagonal[part.entries] += np.bincount(part.matrix.indices, weights, len(part.entries))
        touched = np.flatnonzero(diagonal)
        place_of = np.cumsum(diagonal > 0) - 1
        # One part holds all entries that are touched: without a copy of their rows its products are faster.
        alone = len(shares.parts) == 1 and len(shares.parts[0].entries) == len(touched)
        places: list[Places] = [slice(None) if alone else place_of[part.entries] for part in shares.parts]
        frequent = np.sort(np.argsort(-diagonal[touched], kind="stable")[:_FREQUENT])
        gram = penalty * np.eye(len(frequent))
        for part in shares.parts:
            _, here, there = np.intersect1d(part.entries, touched[frequent], return_indices=True)
            held = part.matrix[:, here]
            gram[np.ix_(there, there)] += (held.T @ sparse.diags_array(importance[part.texts]) @ held).toarray()
        reciprocals = (1 / (diagonal[touched] + penalty)).astype(np.float32)[:, None]
        inverse = np.linalg.inv(gram).astype(np.float32)
        return cls(shares, importance, touched, places, np.float32(penalty), reciprocals, frequent, inverse)

    def apply(self, rows: Matrix) -> Matrix:
        """Return A'WA rows."""
        product = np.zeros_like(rows)
        for part, place in zip(self.shares.parts, self.places, strict=True):
            means = part.matrix @ rows[place]
            means *= self.importance[part.texts, None]
            product[place] += part.matrix.T @ means
        return product

    def correction(self, residual: Matrix) -> Matrix:
        """Return what the preconditioner makes of the frequent entries' residual beyond what Jacobi's does."""
        of_frequent = residual[self.frequent]
        result: Matrix = self.inverse @ of_frequent - self.reciprocals[self.frequent] * of_frequent
        return result


def _solve(system: _System, columns: Columns) -> Solved:
    """Solve the system by conjugate gradients, each column with its own step lengths.

    Vectors are updated a block of rows at a time, all operations on a block while it is in the processor's cache.

    Args:
        system: The matrix.
        columns: The right side and a first solution, float32 (touched, columns) each.

    Returns:
        The solution, the number of steps, and the norm of the residual relative to that of the right side.
    """
    right, solution = columns[0], columns[1].copy()
    blocks, norm = slices(len(right), ROWS_AT_ONCE), float(np.linalg.norm(right))
    residual = right - system.apply(solution) - system.penalty * solution
    direction, product, length = np.zeros_like(right), *np.zeros((2, right.shape[1]), np.float32)
    applied, steps = direction, 0
    while True:
        next_product, squares = np.zeros_like(product), np.zeros_like(product)
        for block in blocks:
            solution[block] += length * direction[block]
            remaining = residual[block]
            remaining -= length * applied[block]
            square = remaining * remaining
            squares += square.sum(axis=0)
            next_product += (system.reciprocals[block] * square).sum(axis=0)
        relative = float(np.sqrt(squares.sum())) / max(norm, 1e-30)
        if steps == _MAX_ITERATIONS or relative <= _TOLERANCE or not norm:
            return solution, steps, relative
        correction = system.correction(residual)
        next_product += np.einsum("ij,ij->j", residual[system.frequent], correction)
        ratio = next_product / np.maximum(product, _TINY) if steps else product
        for block in blocks:
            direction[block] *= ratio
            direction[block] += system.reciprocals[block] * residual[block]
        direction[system.frequent] += correction
        product, applied, curvature = next_product, system.apply(direction), np.zeros_like(product)
        for block in blocks:
            applied[block] += system.penalty * direction[block]
            curvature += np.einsum("ij,ij->j", direction[block], applied[block])
        np.divide(product, np.maximum(curvature, _TINY), out=length)
        steps += 1


def whiten(rows: Matrix, shares: TokenShares, strength: float, keep: int) -> Matrix:
    """Keep the leading directions of the student's own vectors of the texts, and even out their variances.

    Args:
        rows: (entries, dims).
        shares: Of the texts.
        strength: Each direction is divided by its standard deviation to this power: 0 leaves the variances as they
            are, 1 makes them equal.
        keep: Directions to keep.

    Returns:
        float32 (entries, keep).
    """

    def moments(_: slice, means: Matrix) -> tuple[npt.NDArray[np.float64], Matrix]:
        return means.sum(axis=0, dtype=np.float64), means.T @ means

    count, total, gram = shares.shape[0], np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
    for total_of_block, gram_of_block in shares.over_means(rows, moments):
        total += total_of_block
        gram += gram_of_block
    values, vectors = np.linalg.eigh((gram - np.outer(total, total) / count) / max(count - 1, 1))
    variances, axes = np.clip(values[::-1][:keep], 0, None), vectors[:, ::-1][:, :keep]
    # The sign of a direction is arbitrary too, and the eigensolver's: an axis's greatest component is positive.
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0))
    scales = np.maximum(variances, variances[0] * 1e-12) ** (-strength / 2)
    # The overall scale is arbitrary; the strongest direction keeps its own.
    return project(rows, (axes * (scales / scales[0])).astype(np.float32))

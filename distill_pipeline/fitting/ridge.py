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
from itertools import chain

import numpy as np
import numpy.typing as npt
from scipy import sparse
from tokenizers import Tokenizer

from distill_pipeline.fitting.parallel import in_order, slices
from distill_pipeline.vocabulary.words import MAX_LENGTH

Matrix = npt.NDArray[np.float32]

_TOLERANCE = 3e-3
_MAX_ITERATIONS = 60
_COLUMNS_AT_ONCE = 32
"""Few enough that a block's vectors stay in the processor's cache: measured, products with 384 columns took 172 ms all
at once, and 109 by 32."""
_TEXTS_AT_ONCE = 2048
_ROWS_AT_ONCE = 2048
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


def token_shares(tokenizer: Tokenizer, texts: Sequence[str], *, skip: npt.NDArray[np.integer]) -> sparse.csr_matrix:
    """Return each entry's share of a text's tokens, float32 (texts, entries); rows sum to 1, or to 0.

    Entries to skip don't count as tokens, as model2vec leaves out unknown ones.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    skipped = frozenset(skip.tolist())
    blocks = []
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        block = list(texts[first : first + _TEXTS_AT_ONCE])
        encodings = tokenizer.encode_batch_fast(block, add_special_tokens=False)
        ids = [[token for token in encoding.ids if token not in skipped] for encoding in encodings]
        lengths = np.array([len(sequence) for sequence in ids])
        columns = np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=lengths.sum())
        values = np.repeat((1 / np.maximum(lengths, 1)).astype(np.float32), lengths)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        shares = sparse.csr_matrix((values, columns, starts), shape=(len(block), tokenizer.get_vocab_size()))
        shares.sum_duplicates()
        blocks.append(shares)
    return sparse.vstack(blocks, format="csr")


def solve_ridge(
    shares: sparse.csr_matrix, targets: Matrix, start: Matrix, penalty: float, *, guess: Matrix | None = None
) -> Solution:
    """Solve the ridge regression described at the top of this module.

    Args:
        shares: float32 (texts, entries).
        targets: (texts, dims).
        start: E0, (entries, dims).
        penalty: lambda.
        guess: Rows to start the iteration from, such as those for a neighbouring penalty; by default E0.
    """
    diagonal = np.asarray(shares.multiply(shares).sum(axis=0)).ravel()
    touched = np.argsort(-diagonal, kind="stable")[: np.count_nonzero(diagonal)]
    system = _System.of(shares[:, touched].tocsr(), diagonal[touched], penalty)
    rows = start.copy()

    def solve(columns: slice) -> tuple[int, float]:
        begin = np.ascontiguousarray(start[touched, columns])
        right = system.transposed @ (np.ascontiguousarray(targets[:, columns]) - system.shares @ begin)
        change = np.zeros_like(begin) if guess is None else guess[touched, columns] - begin
        steps, residual = _conjugate_gradients(system, right, change)
        rows[touched, columns] += change
        return steps, residual

    ends = list(in_order(solve, slices(targets.shape[1], _COLUMNS_AT_ONCE)))
    return Solution(rows, max(steps for steps, _ in ends), max(residual for _, residual in ends))


@dataclass(frozen=True)
class _System:
    """A'A + penalty I for the entries that the texts hold, most frequent first, and its preconditioner.

    The most frequent entries are few, and tie all texts together: their own part of the matrix is inverted whole, which
    halves the steps of a Jacobi preconditioner alone (measured: 18 to 10 and 14 to 6).
    """

    shares: sparse.csr_matrix
    transposed: sparse.csc_matrix  # column by column it reads the texts in order, three times as fast as row by row
    penalty: np.float32
    reciprocals: Matrix
    inverse: Matrix

    @classmethod
    def of(cls, shares: sparse.csr_matrix, diagonal: Matrix, penalty: float) -> "_System":
        frequent = shares[:, :_FREQUENT]
        gram = (frequent.T @ frequent).toarray().astype(np.float64)
        inverse = np.linalg.inv(gram + penalty * np.eye(len(gram))).astype(np.float32)
        reciprocals = (1 / (diagonal + penalty)).astype(np.float32)[:, None]
        return cls(shares, shares.T, np.float32(penalty), reciprocals, inverse)

    def apply(self, rows: Matrix) -> Matrix:
        """Return A'A rows."""
        product: Matrix = self.transposed @ (self.shares @ rows)
        return product

    def correction(self, residual: Matrix) -> Matrix:
        """Return what the preconditioner makes of the frequent entries' residual beyond what Jacobi's does."""
        of_frequent = residual[: len(self.inverse)]
        result: Matrix = self.inverse @ of_frequent - self.reciprocals[: len(self.inverse)] * of_frequent
        return result


def _conjugate_gradients(system: _System, right: Matrix, solution: Matrix) -> tuple[int, float]:
    """Solve the system in place from a first solution, each column with its own step lengths.

    Vectors are updated a block of rows at a time, all operations on a block while it is in the processor's cache.

    Returns:
        Number of steps, and the norm of the residual relative to that of `right`.
    """
    blocks, frequent, norm = slices(len(right), _ROWS_AT_ONCE), slice(0, len(system.inverse)), np.linalg.norm(right)
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
        relative = float(np.sqrt(squares.sum())) / max(float(norm), 1e-30)
        if steps == _MAX_ITERATIONS or relative <= _TOLERANCE or not norm:
            return steps, relative
        correction = system.correction(residual)
        next_product += np.einsum("ij,ij->j", residual[frequent], correction)
        ratio = next_product / np.maximum(product, _TINY) if steps else product
        for block in blocks:
            direction[block] *= ratio
            direction[block] += system.reciprocals[block] * residual[block]
        direction[frequent] += correction
        product, applied, curvature = next_product, system.apply(direction), np.zeros_like(product)
        for block in blocks:
            applied[block] += system.penalty * direction[block]
            curvature += np.einsum("ij,ij->j", direction[block], applied[block])
        np.divide(product, np.maximum(curvature, _TINY), out=length)
        steps += 1


def whiten(rows: Matrix, shares: sparse.csr_matrix, strength: float, keep: int) -> Matrix:
    """Keep the leading directions of the student's own vectors of the texts, and even out their variances.

    Args:
        rows: (entries, dims).
        shares: (texts, entries).
        strength: Each direction is divided by its standard deviation to this power: 0 leaves the variances as they
            are, 1 makes them equal.
        keep: Directions to keep.

    Returns:
        float32 (entries, keep).
    """

    def moments(texts: slice) -> tuple[npt.NDArray[np.float64], Matrix]:
        means: Matrix = shares[texts] @ rows
        return means.sum(axis=0, dtype=np.float64), means.T @ means

    count, total, gram = shares.shape[0], np.zeros(rows.shape[1]), np.zeros((rows.shape[1],) * 2)
    for total_of_block, gram_of_block in in_order(moments, slices(count, _TEXTS_AT_ONCE)):
        total += total_of_block
        gram += gram_of_block
    values, vectors = np.linalg.eigh((gram - np.outer(total, total) / count) / max(count - 1, 1))
    variances, axes = np.clip(values[::-1][:keep], 0, None), vectors[:, ::-1][:, :keep]
    # The sign of a direction is arbitrary too, and the eigensolver's: an axis's greatest component is positive.
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0))
    scales = np.maximum(variances, variances[0] * 1e-12) ** (-strength / 2)
    # The overall scale is arbitrary; the strongest direction keeps its own.
    result: Matrix = ((rows @ axes) * (scales / scales[0])).astype(np.float32)
    return result

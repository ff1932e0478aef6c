"""Rows fitted so that the mean of a text's rows is the teacher's embedding of the text.

Sparse ridge regression around a good start. Let A (texts x entries) hold each text's token shares and Y the
teacher's sentence embeddings on their leading directions. The rows E minimise

    |A E - Y|^2 + lambda |E - E0|^2

for a start E0 made of the teacher's embeddings of the single entries, where a row that no text touches stays. The
normal equations (A'A + lambda I)(E - E0) = A'(Y - A E0) are solved for all columns at once by conjugate gradients
with a Jacobi preconditioner (Saad 2003, "Iterative Methods for Sparse Linear Systems", algorithm 9.1).
Deterministic: no learning rate, no epochs, no random numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from tokenizers import Tokenizer

from distill_pipeline.fitting.pca import Batches, fit_principal_components
from distill_pipeline.vocabulary.words import MAX_LENGTH

Matrix = npt.NDArray[np.float32]

_TOLERANCE = 3e-3
_MAX_ITERATIONS = 60
_THREADS = 2
_TEXTS_AT_ONCE = 20_000
_TEXTS_IN_GRAM = 4_000
_ROWS_AT_ONCE = 1024
_ALTERNATIONS = 2
_PROJECTION_SHRINKAGE = 0.02
_MIN_WEIGHT = 0.01
"""As a share of the greatest weight; the smallest fitted to a real teacher is 0.03, for the most frequent words."""
_KNOTS: Mapping[int, npt.NDArray[np.float64]] = {
    0: np.linspace(-7.5, -1.5, 10),
    1: np.linspace(-7.0, -3.0, 4),
    2: np.linspace(-7.0, -2.0, 4),
}
"""Of each entry group's curve of weights, in log10 of the probability."""


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


def fit_start(
    rows: Batches, axes: npt.NDArray[np.float64], curves: Matrix, shares: sparse.csr_matrix, targets: Matrix
) -> tuple[Matrix, Matrix]:
    """Weight and project the single entries' embeddings so that the texts' means come close to the targets.

    The start is E0 = diag(w) X M. The weights w are a curve over the logarithm of an entry's probability, one curve
    per group of entries, linear between knots: its values at the knots are fitted by least squares to the texts,
    where smooth inverse frequency assumes a / (a + p). The projection M starts at the directions of the texts and is
    fitted by ridge regression towards them, since words and sentences use the teacher's space differently. The two
    are fitted in turn.

    Args:
        rows: The teacher's embeddings of the entries, centred, (n, teacher dims) a batch.
        axes: (teacher dims, dims) directions of the texts.
        curves: From `weight_curves`.
        shares: (texts, entries).
        targets: (texts, dims).

    Returns:
        The start, float32 (entries, dims), and its weights, float32 (entries,).
    """
    projection = axes.astype(np.float32)
    projected = _project(rows, projection)
    weights = _fit_weights(projected, curves, shares, targets)
    for _ in range(_ALTERNATIONS):
        projection = _fit_projection(rows, weights, projection, shares, targets)
        projected = _project(rows, projection)
        weights = _fit_weights(projected, curves, shares, targets)
    return projected * weights[:, None], weights


def _project(rows: Batches, projection: Matrix) -> Matrix:
    return np.concatenate([batch.astype(np.float32) @ projection for batch in rows()])


def _fit_weights(projected: Matrix, curves: Matrix, shares: sparse.csr_matrix, targets: Matrix) -> Matrix:
    gram, right = np.zeros((len(curves), len(curves))), np.zeros(len(curves))

    def weighted_means(block: sparse.csr_matrix, curve: Matrix) -> Matrix:
        # Scaling the sparse shares is cheaper than scaling the rows.
        means: Matrix = (block.multiply(curve).tocsr() @ projected).reshape(-1)
        return means

    with ThreadPoolExecutor(_THREADS) as pool:  # scipy's sparse products use one thread each
        for first in range(0, shares.shape[0], _TEXTS_IN_GRAM):
            texts = slice(first, first + _TEXTS_IN_GRAM)
            target = targets[texts].reshape(-1)
            means = list(pool.map(weighted_means, repeat(shares[texts]), curves))
            for row, mean in enumerate(means):
                # Few, long vectors: ten times faster one by one than as a matrix product.
                gram[row, : row + 1] += [np.vdot(mean, other) for other in means[: row + 1]]
                right[row] += np.vdot(mean, target)
    gram += np.tril(gram, -1).T
    scale = np.trace(gram) / len(gram)
    # Neighbouring knots are drawn together; no weight is negative or so small that it silences its entries.
    rises = [np.diff(np.eye(len(knots)), axis=0) for knots in _KNOTS.values()]
    smooth = linalg.block_diag(*(rise.T @ rise for rise in rises))
    values = np.linalg.solve(gram + scale * (1e-3 * smooth + 1e-9 * np.eye(len(gram))), right)
    weights: Matrix = (np.maximum(values, _MIN_WEIGHT * values.max()) @ curves).astype(np.float32)
    return weights


def _fit_projection(
    rows: Batches, weights: Matrix, before: Matrix, shares: sparse.csr_matrix, targets: Matrix
) -> Matrix:
    """Return M that minimises |A diag(w) X M - Y|^2 + penalty |M - s M_before|^2, s the scale that suits M_before."""
    means = np.zeros((shares.shape[0], len(before)), dtype=np.float32)
    first = 0
    columns = shares.tocsc()
    for batch in rows():
        last = first + len(batch)
        means += columns[:, first:last] @ (batch.astype(np.float32) * weights[first:last, None])
        first = last
    gram = (means.T @ means).astype(np.float64)
    penalty = _PROJECTION_SHRINKAGE * np.trace(gram) / len(gram)
    given = means @ before
    scale = float(np.vdot(given, targets)) / max(float(np.vdot(given, given)), 1e-12)
    right = (means.T @ targets).astype(np.float64) + penalty * scale * before
    fitted: Matrix = np.linalg.solve(gram + penalty * np.eye(len(gram)), right).astype(np.float32)
    return fitted


def weight_curves(probabilities: npt.NDArray[np.float64], groups: npt.NDArray[np.int8]) -> Matrix:
    """Return the hat function of each knot, float32 (knots of all groups, entries); 0 for entries of group -1."""
    logarithms = np.log10(np.maximum(probabilities, 1e-12))
    curves = []
    for group, knots in _KNOTS.items():
        inside = np.clip(logarithms, knots[0], knots[-1])
        curves += [np.interp(inside, knots, hat) * (groups == group) for hat in np.eye(len(knots))]
    return np.array(curves, dtype=np.float32)


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
    touched = np.flatnonzero(diagonal)
    shares = shares[:, touched].tocsr()
    transposed = shares.T  # column by column it reads the texts in order, three times as fast as row by row
    preconditioner = (1 / (diagonal[touched] + penalty)).astype(np.float32)[:, None]

    def normal_matrix(rows: Matrix) -> Matrix:
        product: Matrix = transposed @ (shares @ rows)
        return product

    def solve(columns: npt.NDArray[np.int64]) -> tuple[Matrix, int, float]:
        rows = np.ascontiguousarray(start[np.ix_(touched, columns)])
        right = transposed @ (np.ascontiguousarray(targets[:, columns]) - shares @ rows)
        change = np.zeros_like(rows) if guess is None else guess[np.ix_(touched, columns)] - rows
        return _conjugate_gradients(normal_matrix, penalty, right, preconditioner, change)

    with ThreadPoolExecutor(_THREADS) as pool:
        solved = list(pool.map(solve, np.array_split(np.arange(targets.shape[1]), _THREADS)))
    rows = start.copy()
    rows[touched] += np.concatenate([change for change, _, _ in solved], axis=1)
    return Solution(rows, max(steps for _, steps, _ in solved), max(residual for _, _, residual in solved))


def _conjugate_gradients(
    apply: Callable[[Matrix], Matrix], penalty: float, right: Matrix, preconditioner: Matrix, solution: Matrix
) -> tuple[Matrix, int, float]:
    """Solve apply(X) + penalty X = right in place from a first X, each column with its own step lengths.

    Vectors are updated a block of rows at a time, all operations on a block while it is in the processor's cache.

    Returns:
        X, number of steps, and the norm of the residual relative to that of `right`.
    """
    blocks = [slice(first, first + _ROWS_AT_ONCE) for first in range(0, len(right), _ROWS_AT_ONCE)]
    penalty32, norm = np.float32(penalty), float(np.linalg.norm(right))
    residual = right - apply(solution) - penalty32 * solution
    direction = preconditioner * residual
    product, squares = _column_sums(residual, direction, blocks), _column_sums(residual, residual, blocks)
    steps, relative = 0, float(np.sqrt(squares.sum())) / max(norm, 1e-30)
    while steps < _MAX_ITERATIONS and relative > _TOLERANCE and norm > 0:
        applied = apply(direction)
        curvature = np.zeros_like(product)
        for block in blocks:
            applied[block] += penalty32 * direction[block]
            curvature += (direction[block] * applied[block]).sum(axis=0)
        length = product / np.maximum(curvature, 1e-30)
        next_product, squares = np.zeros_like(product), np.zeros_like(product)
        for block in blocks:
            solution[block] += length * direction[block]
            remaining = residual[block]
            remaining -= length * applied[block]
            square = remaining * remaining
            squares += square.sum(axis=0)
            next_product += (preconditioner[block] * square).sum(axis=0)
        ratio = next_product / np.maximum(product, 1e-30)
        for block in blocks:
            direction[block] *= ratio
            direction[block] += preconditioner[block] * residual[block]
        product = next_product
        steps += 1
        relative = float(np.sqrt(squares.sum())) / norm
    return solution, steps, relative


def _column_sums(first: Matrix, second: Matrix, blocks: Sequence[slice]) -> Matrix:
    """Return the dot product of each pair of columns, (columns,)."""
    sums = np.zeros(first.shape[1], dtype=np.float32)
    for block in blocks:
        sums += (first[block] * second[block]).sum(axis=0)
    return sums


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
    means = shares @ rows
    blocks = range(0, len(means), _TEXTS_AT_ONCE)
    components = fit_principal_components(lambda: (means[first : first + _TEXTS_AT_ONCE] for first in blocks), "auto")
    axes, variances = components.axes[:, :keep], components.variances
    scales = np.maximum(variances[:keep], variances[0] * 1e-12) ** (-strength / 2)
    # The overall scale is arbitrary; the strongest direction keeps its own.
    result: Matrix = ((rows @ axes) * (scales / scales[0])).astype(np.float32)
    return result

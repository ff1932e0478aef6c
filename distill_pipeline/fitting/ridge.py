"""Rows fitted so that the mean of a text's rows is the teacher's embedding of the text.

Sparse ridge regression around a good start. Let A (texts x entries) hold each text's token shares and Y the
teacher's sentence embeddings on their leading directions. The rows E minimise

    |A E - Y|^2 + lambda |E - E0|^2

for a start E0 made of the teacher's embeddings of the single entries, so a row that no text touches stays there. The
normal equations (A'A + lambda I)(E - E0) = A'(Y - A E0) are solved for all columns at once by conjugate gradients
with a Jacobi preconditioner (Saad 2003, "Iterative Methods for Sparse Linear Systems", algorithm 9.1).
Deterministic: no learning rate, no epochs, no draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

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
"""Of the greatest one; the least that was fitted to a real teacher's texts is 0.03, for the most frequent words."""


@dataclass(frozen=True)
class Solution:
    """Refined rows and how the solver got there.

    Attributes:
        rows: float32 (entries, dims).
        iterations: Conjugate gradient steps of the slowest block of columns.
        residual: Norm of the normal equations' residual relative to that of the start.
    """

    rows: Matrix
    iterations: int
    residual: float


def token_shares(
    tokenizer: Tokenizer, texts: Sequence[str], *, skip: npt.NDArray[np.integer], max_tokens: int = MAX_LENGTH
) -> sparse.csr_matrix:
    """Return float32 (texts, entries): which share of a text's tokens each entry is. Rows sum to 1, or to 0.

    Entries to skip are left out and don't count, as model2vec leaves unknown ones out.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    blocks = [
        _share_block(tokenizer, texts[first : first + _TEXTS_AT_ONCE], frozenset(skip.tolist()))
        for first in range(0, len(texts), _TEXTS_AT_ONCE)
    ]
    return sparse.vstack(blocks, format="csr")


def _share_block(tokenizer: Tokenizer, texts: Sequence[str], skip: frozenset[int]) -> sparse.csr_matrix:
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    ids = [[token for token in encoding.ids if token not in skip] for encoding in encodings]
    lengths = np.array([len(sequence) for sequence in ids])
    columns = np.fromiter((token for sequence in ids for token in sequence), dtype=np.int32, count=lengths.sum())
    values = np.repeat((1 / np.maximum(lengths, 1)).astype(np.float32), lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    shares = sparse.csr_matrix((values, columns, starts), shape=(len(texts), tokenizer.get_vocab_size()))
    shares.sum_duplicates()
    return shares


def fit_start(
    rows: Batches, axes: npt.NDArray[np.float64], curves: Matrix, shares: sparse.csr_matrix, targets: Matrix
) -> tuple[Matrix, Matrix]:
    """Weight and project the single entries' embeddings so that their means come closest to the targets.

    The start is E0 = diag(w) X M. The weights w are a curve over the logarithm of an entry's probability, one curve
    per group of entries, linear between knots: its values at the knots are fitted by least squares, so the texts
    themselves say what smooth inverse frequency's a / (a + p) assumes. The projection M begins at the directions
    of the texts and is fitted by ridge regression towards them: a word alone and a sentence use the teacher's space
    differently. The two are fitted in turn.

    Args:
        rows: Starts a pass over the teacher's embeddings of the entries, centred, (n, teacher dims) each.
        axes: (teacher dims, dims) the directions of the texts.
        curves: Of `weight_curves`.
        shares: (texts, entries).
        targets: (texts, dims).

    Returns:
        float32 (entries, dims) the start, and float32 (entries,) its weights.
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

    def mean_of(block: sparse.csr_matrix, curve: Matrix) -> Matrix:
        # Scaling the shares is cheaper than scaling the rows: they are sparse.
        mean: Matrix = (block.multiply(curve).tocsr() @ projected).reshape(-1)
        return mean

    with ThreadPoolExecutor(_THREADS) as pool:  # scipy's sparse products use one thread each
        for first in range(0, shares.shape[0], _TEXTS_IN_GRAM):
            block, wanted = shares[first : first + _TEXTS_IN_GRAM], targets[first : first + _TEXTS_IN_GRAM].reshape(-1)
            means = list(pool.map(partial(mean_of, block), curves))
            for row, mean in enumerate(means):
                # Products of so few and so long vectors are an order faster one by one than as a matrix.
                gram[row, : row + 1] += [np.vdot(mean, other) for other in means[: row + 1]]
                right[row] += np.vdot(mean, wanted)
    gram += np.tril(gram, -1).T
    scale = np.trace(gram) / len(gram)
    # Neighbouring knots are drawn towards each other; no weight is negative, and none silences its entries.
    smooth = _smoothness([knots for _, knots in _GROUPS])
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


_GROUPS: tuple[tuple[int, npt.NDArray[np.float64]], ...] = (
    (0, np.linspace(-7.5, -1.5, 10)),
    (1, np.linspace(-7.0, -3.0, 4)),
    (2, np.linspace(-7.0, -2.0, 4)),
)
"""Knots of each group's curve, in log10 of the probability."""


def weight_curves(probabilities: npt.NDArray[np.float64], groups: npt.NDArray[np.int8]) -> Matrix:
    """Return float32 (knots of all groups, entries): the hat function of each knot.

    Args:
        probabilities: (entries,).
        groups: Of `entry_groups`; entries of group -1 have weight 0 on every curve.
    """
    logarithms = np.log10(np.maximum(probabilities, 1e-12))
    curves = []
    for group, knots in _GROUPS:
        inside = np.clip(logarithms, knots[0], knots[-1])
        curves += [np.interp(inside, knots, hat) * (groups == group) for hat in np.eye(len(knots))]
    return np.array(curves, dtype=np.float32)


def _smoothness(knots: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Return the quadratic form of the differences between neighbouring knots of each group."""
    blocks = [np.diff(np.eye(len(group)), axis=0) for group in knots]
    joined: npt.NDArray[np.float64] = linalg.block_diag(*(block.T @ block for block in blocks))
    return joined


def solve_ridge(
    shares: sparse.csr_matrix, targets: Matrix, start: Matrix, penalty: float, *, guess: Matrix | None = None
) -> Solution:
    """Solve the ridge regression of this module's heading.

    Args:
        shares: float32 (texts, entries).
        targets: (texts, dims).
        start: E0, (entries, dims).
        penalty: lambda.
        guess: Rows to begin the iteration at, such as those of a neighbouring penalty; by default the start.
    """
    diagonal = np.asarray(shares.multiply(shares).sum(axis=0)).ravel()
    touched = np.flatnonzero(diagonal)
    within = shares[:, touched].tocsr()
    across = within.T  # by columns: it reads the texts in order and is three times as fast as by rows
    preconditioner = (1 / (diagonal[touched] + penalty)).astype(np.float32)[:, None]

    def apply(rows: Matrix) -> Matrix:
        applied: Matrix = across @ (within @ rows)
        return applied

    def solve(columns: npt.NDArray[np.int64]) -> tuple[Matrix, int, float]:
        begin = np.ascontiguousarray(start[np.ix_(touched, columns)])
        right = across @ (np.ascontiguousarray(targets[:, columns]) - within @ begin)
        first = np.zeros_like(begin) if guess is None else guess[np.ix_(touched, columns)] - begin
        return _conjugate_gradients(apply, penalty, right, preconditioner, first)

    blocks = np.array_split(np.arange(targets.shape[1]), _THREADS)
    with ThreadPoolExecutor(_THREADS) as pool:
        solved = list(pool.map(solve, blocks))
    rows = start.copy()
    rows[touched] += np.concatenate([change for change, _, _ in solved], axis=1)
    return Solution(rows, max(steps for _, steps, _ in solved), max(residual for _, _, residual in solved))


def _conjugate_gradients(
    apply: Callable[[Matrix], Matrix], penalty: float, right: Matrix, preconditioner: Matrix, solution: Matrix
) -> tuple[Matrix, int, float]:
    """Solve apply(X) + penalty X = right from a first X, in place, each column with steps of its own.

    What is done to the vectors is done to some rows at a time, all of it while they are in the cache.

    Returns:
        X, steps, and the norm of the residual relative to that of `right`.
    """
    blocks = [slice(first, first + _ROWS_AT_ONCE) for first in range(0, len(right), _ROWS_AT_ONCE)]
    shrinkage, begin = np.float32(penalty), float(np.linalg.norm(right))
    residual = right - apply(solution) - shrinkage * solution
    direction = preconditioner * residual
    product, squares = _column_sums(residual, direction, blocks), _column_sums(residual, residual, blocks)
    steps, relative = 0, float(np.sqrt(squares.sum())) / max(begin, 1e-30)
    while steps < _MAX_ITERATIONS and relative > _TOLERANCE and begin > 0:
        applied = apply(direction)
        curvature = np.zeros_like(product)
        for some in blocks:
            applied[some] += shrinkage * direction[some]
            curvature += (direction[some] * applied[some]).sum(axis=0)
        length = product / np.maximum(curvature, 1e-30)
        following, squares = np.zeros_like(product), np.zeros_like(product)
        for some in blocks:
            solution[some] += length * direction[some]
            left = residual[some]
            left -= length * applied[some]
            square = left * left
            squares += square.sum(axis=0)
            following += (preconditioner[some] * square).sum(axis=0)
        turn = following / np.maximum(product, 1e-30)
        for some in blocks:
            direction[some] *= turn
            direction[some] += preconditioner[some] * residual[some]
        product = following
        steps += 1
        relative = float(np.sqrt(squares.sum())) / begin
    return solution, steps, relative


def _column_sums(first: Matrix, second: Matrix, blocks: Sequence[slice]) -> Matrix:
    """Return the sums over the rows of two matrices' products, (columns,)."""
    sums = np.zeros(first.shape[1], dtype=np.float32)
    for some in blocks:
        sums += (first[some] * second[some]).sum(axis=0)
    return sums


def whiten(rows: Matrix, shares: sparse.csr_matrix, strength: float, keep: int) -> Matrix:
    """Keep the leading directions of the student's own vectors of the texts, and even out their variances.

    Each direction is divided by its standard deviation to the power of `strength`: 0 leaves the variances as they
    are, 1 makes them equal.

    Args:
        rows: (entries, dims).
        shares: (texts, entries).
        strength: From 0 to 1.
        keep: Directions to keep.

    Returns:
        float32 (entries, keep).
    """
    means = shares @ rows
    blocks = range(0, len(means), _TEXTS_AT_ONCE)
    components = fit_principal_components(lambda: (means[first : first + _TEXTS_AT_ONCE] for first in blocks), "auto")
    axes, variances = components.axes[:, :keep], components.variances
    scales = np.maximum(variances[:keep], variances[0] * 1e-12) ** (-strength / 2)
    # The scale of all rows is free; keep the strongest direction's.
    result: Matrix = ((rows @ axes) * (scales / scales[0])).astype(np.float32)
    return result

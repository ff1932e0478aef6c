"""The rows that the ridge regression starts from: the teacher's embeddings of the single entries.

The start is E0 = diag(w) X M. The weights w are a curve over the logarithm of an entry's probability, one curve per
group of entries, linear between knots: its values at the knots are fitted by least squares to the texts, where smooth
inverse frequency assumes a / (a + p). The projection M starts at the directions of the texts and is fitted by ridge
regression towards them, since words and sentences use the teacher's space differently. The two are fitted in turn.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from distill_pipeline.fitting.parallel import ROWS_AT_ONCE, in_order, project, slices

Matrix = npt.NDArray[np.float32]

_TEXTS_AT_ONCE = 128
"""Few enough that their means below all curves stay in the processor's cache."""
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


def weight_curves(probabilities: npt.NDArray[np.float64], groups: npt.NDArray[np.int8]) -> Matrix:
    """Return the hat function of each knot, float32 (knots of all groups, entries); 0 for entries of group -1."""
    logarithms = np.log10(np.maximum(probabilities, 1e-12))
    curves = []
    for group, knots in _KNOTS.items():
        inside = np.clip(logarithms, knots[0], knots[-1])
        curves += [np.interp(inside, knots, hat) * (groups == group) for hat in np.eye(len(knots))]
    return np.array(curves, dtype=np.float32)


def fit_start(
    rows: Matrix, axes: npt.NDArray[np.float64], curves: Matrix, shares: sparse.csr_matrix, targets: Matrix
) -> tuple[Matrix, Matrix]:
    """Weight and project the single entries' embeddings so that the texts' means come close to the targets.

    Args:
        rows: The teacher's embeddings of the entries, centred, float32 (entries, teacher dims).
        axes: (teacher dims, dims) directions of the texts.
        curves: From `weight_curves`.
        shares: (texts, entries).
        targets: (texts, dims).

    Returns:
        The start, float32 (entries, dims), and its weights, float32 (entries,).
    """
    held = np.unique(shares.indices)  # what no text holds takes part in no sum, only in the result
    shares, held_rows, held_curves = shares[:, held], rows[held], curves[:, held]
    curved = _below_curves(shares, held_curves)
    projection = axes.astype(np.float32)
    values = _fit_weights(project(held_rows, projection), curved, targets)
    for _ in range(_ALTERNATIONS):
        weighted = shares @ sparse.diags_array(values @ held_curves)
        projection = _fit_projection(held_rows, projection, weighted, targets)
        values = _fit_weights(project(held_rows, projection), curved, targets)
    weights: Matrix = values @ curves
    start = project(rows, projection)
    start *= weights[:, None]
    return start, weights


def _below_curves(shares: sparse.csr_matrix, curves: Matrix) -> sparse.csr_matrix:
    """Return the shares times each curve, (texts * curves, entries), a text's curves one after the other."""
    of_text, hats = shares.tocoo(), sparse.csr_matrix(curves.T)[shares.indices].tocoo()
    numbers = of_text.data[hats.row] * hats.data
    places = of_text.row[hats.row] * len(curves) + hats.col, of_text.col[hats.row]
    return sparse.csr_matrix((numbers, places), shape=(shares.shape[0] * len(curves), shares.shape[1]))


def _fit_weights(projected: Matrix, curved: sparse.csr_matrix, targets: Matrix) -> Matrix:
    """Return the values at the knots of all curves, float32 (curves,), least squares of the texts' means."""
    count = curved.shape[0] // len(targets)

    def normal_equations(texts: slice) -> tuple[Matrix, Matrix]:
        means = (curved[count * texts.start : count * texts.stop] @ projected).reshape(-1, count, targets.shape[1])
        # Text by text: for few rows of many numbers BLAS is slow, and two threads wait for each other.
        gram = np.matmul(means, means.transpose(0, 2, 1)).sum(axis=0)
        return gram, np.matmul(means, targets[texts, :, None]).sum(axis=0)[:, 0]

    gram, right = np.zeros((count, count)), np.zeros(count)
    for of_block, right_of_block in in_order(normal_equations, slices(len(targets), _TEXTS_AT_ONCE)):
        gram += of_block
        right += right_of_block
    scale = np.trace(gram) / len(gram)
    # Neighbouring knots are drawn together; no weight is negative or so small that it silences its entries.
    rises = [np.diff(np.eye(len(knots)), axis=0) for knots in _KNOTS.values()]
    smooth = linalg.block_diag(*(rise.T @ rise for rise in rises))
    values = np.linalg.solve(gram + scale * (1e-3 * smooth + 1e-9 * np.eye(len(gram))), right)
    positive: Matrix = np.maximum(values, _MIN_WEIGHT * values.max()).astype(np.float32)
    return positive


def _fit_projection(rows: Matrix, before: Matrix, weighted: sparse.csr_matrix, targets: Matrix) -> Matrix:
    """Return M that minimises |A diag(w) X M - Y|^2 + penalty |M - s M_before|^2, s the scale that suits M_before.

    `rows` are X, `weighted` is A diag(w).
    """

    def normal_equations(texts: slice) -> tuple[Matrix, Matrix]:
        means: Matrix = weighted[texts] @ rows
        return means.T @ means, means.T @ targets[texts]

    gram, right = np.zeros((len(before), len(before))), np.zeros(before.shape)
    for of_block, right_of_block in in_order(normal_equations, slices(len(targets), ROWS_AT_ONCE)):
        gram += of_block
        right += right_of_block
    penalty = _PROJECTION_SHRINKAGE * np.trace(gram) / len(gram)
    scale = float(np.vdot(right, before)) / max(float(np.vdot(gram @ before, before)), 1e-12)
    right += penalty * scale * before
    fitted: Matrix = np.linalg.solve(gram + penalty * np.eye(len(gram)), right).astype(np.float32)
    return fitted

"""The last step of the fit: bring the student's similarities of texts close to the teacher's.

Gradient descent on the squared difference between the student's and the teacher's cosines within batches of texts,
starting from the refined rows. Same seed, same bytes; plain numpy, since a batch's rows are sparse.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse

from distill_pipeline.store.embeddings import unit_rows

Matrix = npt.NDArray[np.float32]

TEXTS_PER_STEP = 2048
_RATE = 2e-3
_BETA1, _BETA2 = 0.9, 0.98
_ROWS_AT_ONCE = 1024
"""Few enough rows to stay in the processor's cache during an update."""
_RESTRAINT = 2.0
"""A row's step is scaled by n / (n + 2), n the number of texts that hold it: rare rows move less."""


def tune_similarities(
    rows: Matrix, shares: sparse.csr_matrix, teacher: Matrix, *, steps: int, seed: int
) -> tuple[Matrix, list[float]]:
    """Move the rows so that cosines of texts come closer to the teacher's.

    Adam (Kingma and Ba 2015, algorithm 1) with one second moment per row, so that a row's step keeps the gradient's
    direction, a rate that falls along half a cosine, and moments that count a row's own steps: a batch holds few rows.

    Args:
        rows: float32 (entries, dims).
        shares: float32 (texts, entries).
        teacher: float32 (texts, teacher dims), centred; scaled to unit length here.
        steps: Batches to learn from.
        seed: Of the batches' order.

    Returns:
        float32 (entries, dims), and the mean squared difference at each step.
    """
    touched = np.flatnonzero(shares.getnnz(axis=0))
    shares = shares[:, touched].tocsr()
    counts = shares.getnnz(axis=0).astype(np.float32)
    scale = np.float32(np.sqrt((rows[touched] ** 2).sum(axis=1).mean()))
    state = rows[touched] / scale
    restraint = (counts / (counts + _RESTRAINT))[:, None]
    first_moment, second_moment = np.zeros_like(state), np.zeros((len(state), 1), dtype=np.float32)
    row_steps = np.zeros((len(state), 1), dtype=np.float32)
    teacher_units = unit_rows(teacher).astype(np.float32)
    losses = []
    for step, texts in enumerate(_batches(shares.shape[0], steps, seed)):
        batch = shares[texts]
        held, columns = np.unique(batch.indices, return_inverse=True)
        batch = sparse.csr_matrix((batch.data, columns, batch.indptr), shape=(len(texts), len(held)))
        loss, gradient_of_means = similarity_loss(batch @ state[held], teacher_units[texts])
        losses.append(loss)
        gradient = batch.T @ gradient_of_means
        rate = np.float32(_RATE * 0.5 * (1 + np.cos(np.pi * step / steps)))
        for first in range(0, len(held), _ROWS_AT_ONCE):
            block, slope = held[first : first + _ROWS_AT_ONCE], gradient[first : first + _ROWS_AT_ONCE]
            first_moment[block] = _BETA1 * first_moment[block] + (1 - _BETA1) * slope
            squares = (slope**2).mean(axis=1, keepdims=True)
            second_moment[block] = _BETA2 * second_moment[block] + (1 - _BETA2) * squares
            row_steps[block] += 1
            unbiased = first_moment[block] / (1 - _BETA1 ** row_steps[block])
            deviation = np.sqrt(second_moment[block] / (1 - _BETA2 ** row_steps[block])) + 1e-8
            state[block] -= rate * restraint[block] * unbiased / deviation
    tuned = rows.copy()
    tuned[touched] = state * scale
    return tuned, losses


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

    Args:
        means: (texts, dims).
        teacher: (texts, teacher dims), unit rows.
    """
    lengths = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    unit = means / lengths
    difference = unit @ unit.T - teacher @ teacher.T
    np.fill_diagonal(difference, 0)
    pairs = len(means) * (len(means) - 1)
    by_unit = ((4 * 50 / pairs) * difference) @ unit
    by_means = (by_unit - unit * (unit * by_unit).sum(axis=1, keepdims=True)) / lengths
    return float(np.vdot(difference, difference)) / pairs, by_means

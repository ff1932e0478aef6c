"""A last step towards what rows are used for: that students' similarities of texts equal the teacher's.

Gradient descent from refined rows on the squared difference of two matrices of cosines, the student's and the
teacher's, over batches of texts. Same seed, same bytes; plain numpy, since the rows of a batch are sparse.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from distill_pipeline.store.embeddings import unit_rows

Matrix = npt.NDArray[np.float32]

TEXTS_PER_STEP = 2048
_RATE = 2e-3
_MOMENTUM, _SPREAD = 0.9, 0.98
_ROWS_AT_ONCE = 1024
"""What is done to a row stays in the cache meanwhile."""
_RESTRAINT = 2.0
"""A row's step is scaled by n / (n + 2), n the number of texts that hold it: what was seldom seen stays."""


def tune_similarities(
    rows: Matrix, shares: sparse.csr_matrix, teacher: Matrix, *, steps: int, seed: int
) -> tuple[Matrix, list[float]]:
    """Move the rows so that cosines of texts come closer to the teacher's.

    Adam (Kingma and Ba 2015, algorithm 1) with one second moment per row, so that a row keeps its direction, a rate
    that falls along half a cosine, and moments that count a row's own steps: a batch holds few of the rows.

    Args:
        rows: float32 (entries, dims).
        shares: float32 (texts, entries).
        teacher: float32 (texts, teacher dims), centred; brought to unit length here.
        steps: Batches to learn from.
        seed: Of the batches' order.

    Returns:
        float32 (entries, dims), and the mean squared difference of each step.
    """
    touched = np.flatnonzero(shares.getnnz(axis=0))
    within = shares[:, touched].tocsr()
    counts = within.getnnz(axis=0).astype(np.float32)
    scale = np.float32(np.sqrt((rows[touched] ** 2).sum(axis=1).mean()))
    state = rows[touched] / scale
    restraint = (counts / (counts + _RESTRAINT))[:, None]
    momentum, spread = np.zeros_like(state), np.zeros((len(state), 1), dtype=np.float32)
    seen = np.zeros((len(state), 1), dtype=np.float32)
    wanted = unit_rows(teacher).astype(np.float32)
    losses = []
    for step, texts in enumerate(_batches(shares.shape[0], steps, seed), start=1):
        batch = within[texts]
        here, columns = np.unique(batch.indices, return_inverse=True)
        batch = sparse.csr_matrix((batch.data, columns, batch.indptr), shape=(len(texts), len(here)))
        loss, gradient_of_means = similarity_loss(batch @ state[here], wanted[texts])
        gradient = batch.T @ gradient_of_means
        rate = np.float32(_RATE * 0.5 * (1 + np.cos(np.pi * (step - 1) / steps)))
        for first in range(0, len(here), _ROWS_AT_ONCE):
            some, slope = here[first : first + _ROWS_AT_ONCE], gradient[first : first + _ROWS_AT_ONCE]
            momentum[some] = _MOMENTUM * momentum[some] + (1 - _MOMENTUM) * slope
            spread[some] = _SPREAD * spread[some] + (1 - _SPREAD) * (slope**2).mean(axis=1, keepdims=True)
            seen[some] += 1
            unbiased = momentum[some] / (1 - _MOMENTUM ** seen[some])
            deviation = np.sqrt(spread[some] / (1 - _SPREAD ** seen[some])) + 1e-8
            state[some] -= rate * restraint[some] * unbiased / deviation
        losses.append(loss)
    tuned = rows.copy()
    tuned[touched] = state * scale
    return tuned, losses


def _batches(texts: int, steps: int, seed: int) -> list[npt.NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    size = min(TEXTS_PER_STEP, texts)
    order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
    batches = []
    for _ in range(steps):
        if len(order) < size:
            order = random.permutation(texts)
        batches.append(order[:size])
        order = order[size:]
    return batches


def similarity_loss(
    means: npt.NDArray[np.floating], wanted: npt.NDArray[np.floating]
) -> tuple[float, npt.NDArray[np.floating]]:
    """Return the mean squared difference of the cosines off the diagonal, and 50 times its gradient by the means.

    Args:
        means: (texts, dims).
        wanted: (texts, teacher dims), unit rows.
    """
    lengths = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    unit = means / lengths
    difference = unit @ unit.T - wanted @ wanted.T
    np.fill_diagonal(difference, 0)
    pairs = len(means) * (len(means) - 1)
    by_unit = ((4 * 50 / pairs) * difference) @ unit
    by_means = (by_unit - unit * (unit * by_unit).sum(axis=1, keepdims=True)) / lengths
    return float(np.vdot(difference, difference)) / pairs, by_means

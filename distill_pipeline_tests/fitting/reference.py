"""The whole fit of the student's rows in plain numpy, to be read from top to bottom and held against the fast path.

The fast path works in float32, in blocks and threads, on sparse matrices, and solves by conjugate gradients. Here all
is dense and float64, and solved directly. There are n texts and v entries, and the teacher has d dimensions.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

M = npt.NDArray[np.float64]  # a matrix or a vector
KNOTS = {0: np.linspace(-7.5, -1.5, 10), 1: np.linspace(-7, -3, 4), 2: np.linspace(-7, -2, 4)}  # log10 p, by group
PENALTIES = (0.1, 0.2, 0.4)


def fit(
    A: M,  # (n, v) share of each text's tokens that an entry is; rows sum to 1
    Y: M,  # (n, d) the teacher's embeddings of the texts
    X: M,  # (v, d) the teacher's embeddings of the entries
    *,
    p: M,  # (v,) probabilities of the entries
    groups: npt.NDArray[np.int8],  # (v,) 0 word, 1 piece within one, 2 number or mark, -1 special: its row is zero
    kinds: Sequence[int],  # number of texts of each kind; the texts of a kind stand together
    keep: int,  # dimensions of the student
    penalty: float | None = None,  # 0.4 with a corpus; None: chosen on held-out texts, where all count alike
    importance: M | None = None,  # (n,) how much each text's squared error counts
    whitening: float = 0.3,
    steps: int = 60,  # none with a corpus
    batch: int = 2048,
    seed: int = 0,
) -> M:
    """Return the student's rows (v, keep)."""
    # 1. Targets: the unit text embeddings on their own principal directions (Pearson 1901), twice as many as are kept.
    # Texts of one kind have a mean of their own, which says nothing about their words.
    wanted, axes = centre(unit(Y), kinds), principal_directions(Y)[0][:, : 2 * keep]
    targets, entries = wanted @ axes, unit(X) - unit(X)[groups == 0].mean(axis=0)
    # 2. The start. Least squares of rows times roots counts each text's squared error `importance` times.
    roots = np.sqrt(np.ones(len(A)) if importance is None else importance)[:, None]
    E0, _ = start(roots * A, roots * targets, entries, axes, hats(p, groups))
    # 3. Ridge regression around it; 4. steps on similarities; 5. the cut to the directions that are kept.
    penalty = penalty or choose_penalty(A, targets, E0, Y, strength=whitening, keep=keep)
    E = ridge(roots * A, roots * targets, E0, penalty)
    E = whiten(tune(E, A, wanted, steps=steps, batch=batch, seed=seed), A, whitening, keep)
    E[groups < 0] = 0
    E /= np.median(np.linalg.norm(E[groups >= 0], axis=1))  # the scale is free: the median row has length 1
    return E


def unit(rows: M) -> M:
    """Return the rows at length 1; a row of zeros stays."""
    at_length_1: M = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return at_length_1


def centre(rows: M, kinds: Sequence[int]) -> M:
    """Return the rows less the mean of their kind."""
    return np.concatenate([kind - kind.mean(axis=0) for kind in np.split(rows, np.cumsum(kinds)[:-1])])


def principal_directions(rows: M) -> tuple[M, M]:
    """Return all directions (d, d), strongest first, and their variances: the eigenvectors of the covariance."""
    variances, axes = np.linalg.eigh(np.cov(rows.T))
    scores = (rows - rows.mean(axis=0)) @ axes
    # The sign of an eigenvector is arbitrary: as in model2vec, the row farthest out is on the positive side.
    axes *= np.where(-scores.min(axis=0) > scores.max(axis=0), -1, 1)
    return axes[:, ::-1], np.maximum(variances[::-1], 0)


def hats(p: M, groups: npt.NDArray[np.int8]) -> M:
    """Return a curve (v,) for each knot: 1 at the knot, falling to 0 at its neighbours, in its own group alone."""
    at = np.log10(np.maximum(p, 1e-12))
    return np.array([np.interp(at, x, hat) * (groups == g) for g, x in KNOTS.items() for hat in np.eye(len(x))])


def start(A: M, targets: M, X: M, P: M, curves: M) -> tuple[M, M]:
    """Return E0 = diag(w) X P, whose text means A E0 come close to the targets, and w; P and w are fitted in turn.

    w takes the place of a / (a + p) (Arora, Liang and Ma 2017, equation 3): a curve of p whose form is not assumed.
    """
    w = fit_weights(A, targets, X @ P, curves)
    for _ in range(2):
        means = A @ (w[:, None] * X)
        gram, before = means.T @ means, means @ P
        scale = (before * targets).sum() / (before**2).sum()
        shrinkage = 0.02 * np.trace(gram) / len(gram)  # ridge regression towards the P before, at its best scale
        P = np.linalg.solve(gram + shrinkage * np.eye(len(gram)), means.T @ targets + shrinkage * scale * P)
        w = fit_weights(A, targets, X @ P, curves)
    return w[:, None] * (X @ P), w


def fit_weights(A: M, targets: M, rows: M, curves: M) -> M:
    """Return the weights (v,), a sum of the curves, that minimise |A diag(w) rows - targets|^2."""
    means = np.array([(A @ (curve[:, None] * rows)).ravel() for curve in curves])
    gram, ends = means @ means.T, np.cumsum([len(x) for x in KNOTS.values()])[:-1]
    rises = np.delete(np.diff(np.eye(len(gram)), axis=0), ends - 1, axis=0)  # between neighbours of a group
    smooth = np.trace(gram) / len(gram) * (1e-3 * rises.T @ rises + 1e-9 * np.eye(len(gram)))
    heights = np.linalg.solve(gram + smooth, means @ targets.ravel())
    weights: M = np.maximum(heights, 0.01 * heights.max()) @ curves  # none negative, none silent
    return weights


def ridge(A: M, targets: M, E0: M, penalty: float) -> M:
    """Return E that minimises |A E - targets|^2 + penalty |E - E0|^2 (Hoerl and Kennard 1970, around E0, not 0)."""
    return E0 + np.linalg.solve(A.T @ A + penalty * np.eye(A.shape[1]), A.T @ (targets - A @ E0))


def choose_penalty(A: M, targets: M, E0: M, Y: M, *, strength: float, keep: int) -> float:
    """Return the penalty whose student agrees best with the teacher on held-out texts; no labels are looked at."""
    held = np.arange(len(A)) % max(4, min(len(A) // 500, 20)) == 0
    held &= np.cumsum(held) <= 2000
    best, best_score = 0.0, -np.inf
    for penalty in PENALTIES:  # up to the first that is no better than the one before
        E = whiten(ridge(A[~held], targets[~held], E0, penalty), A, strength, keep)
        if (score := sum(agreement(Y[held], A[held] @ E))) <= best_score:
            break
        best, best_score = penalty, score
    return best


def agreement(teacher: M, student: M) -> tuple[float, float]:
    """Return the rank correlation of the pairs' cosines (Spearman 1904), and the part of 10 neighbours in common."""
    cosines: list[M] = [unit(rows) @ unit(rows).T - 9 * np.eye(len(rows)) for rows in (teacher, student)]
    ranks, other_ranks = (side[np.triu_indices(len(side), k=1)].argsort().argsort() for side in cosines)
    near, other_near = (side.argsort(axis=1)[:, -10:] for side in cosines)
    shared = [len(np.intersect1d(*pair)) / 10 for pair in zip(near, other_near, strict=True)]
    return float(np.corrcoef(ranks, other_ranks)[0, 1]), float(np.mean(shared))


def tune(E: M, A: M, wanted: M, *, steps: int, batch: int, seed: int) -> M:
    """Return rows whose texts' cosines are closer to those of `wanted`, by descent on the squared difference.

    Adam (Kingma and Ba 2015, algorithm 1) with one second moment for a row, so that its step keeps the gradient's
    direction, and moments that count the batches which hold the row. The rate falls along half a cosine (Loshchilov
    and Hutter 2017, equation 5).
    """
    scale = np.sqrt((E[A.any(axis=0)] ** 2).sum(axis=1).mean())
    E, wanted, texts_of = E / scale, unit(wanted), (A > 0).sum(axis=0)[:, None]
    first, second, seen = np.zeros_like(E), np.zeros((len(E), 1)), np.zeros((len(E), 1))
    random, order = np.random.default_rng(seed), np.empty(0, int)
    for step in range(steps):
        if len(order) < min(batch, len(A)):
            order = random.permutation(len(A))
        now, order = order[:batch], order[batch:]
        here = A[now].any(axis=0)
        lengths = np.linalg.norm(A[now] @ E, axis=1, keepdims=True)
        u, goal = unit(A[now] @ E), wanted[now]
        off = (u @ u.T - goal @ goal.T) * (1 - np.eye(len(u)))
        by_u = 50 * 4 * off @ u / (off.size - len(off))  # 50 times the gradient of the mean over all pairs
        g = (A[now].T @ ((by_u - u * (u * by_u).sum(axis=1, keepdims=True)) / np.maximum(lengths, 1e-9)))[here]
        first[here] += 0.1 * (g - first[here])
        second[here] += 0.02 * ((g**2).mean(axis=1, keepdims=True) - second[here])
        seen[here] += 1
        move = first[here] / (1 - 0.9 ** seen[here]) / (np.sqrt(second[here] / (1 - 0.98 ** seen[here])) + 1e-8)
        held_back = texts_of[here] / (texts_of[here] + 2)  # a row of few texts moves less
        E[here] -= 2e-3 * (1 + np.cos(np.pi * step / steps)) / 2 * held_back * move
    tuned: M = E * scale
    return tuned


def whiten(E: M, A: M, strength: float, keep: int) -> M:
    """Return E (v, keep) along the principal directions of its own texts, each over its deviation ** strength.

    Strength 1 makes the variances equal (Su, Cao, Liu and Ou 2021, "Whitening Sentence Representations").
    """
    variances, axes = np.linalg.eigh(np.cov((A @ E).T))
    variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))])  # an axis's greatest component is positive
    scales = np.maximum(variances[:keep], variances[0] * 1e-12) ** (-strength / 2)
    whitened: M = E @ axes[:, :keep] * (scales / scales[0])
    return whitened

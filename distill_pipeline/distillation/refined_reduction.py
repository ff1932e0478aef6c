"""From the teacher's rows and its embeddings of texts to the student's refined rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy import sparse

from distill_pipeline.distillation.parts import Embeddings
from distill_pipeline.distillation.pca import (
    Batches,
    PrincipalComponents,
    directions_to_keep,
    fit_principal_components,
)
from distill_pipeline.distillation.quality import compare
from distill_pipeline.distillation.reduction import write_matrix
from distill_pipeline.distillation.refinement import (
    Matrix,
    Solution,
    solve_ridge,
    token_shares,
    whiten,
)
from distill_pipeline.distillation.refinement_settings import Settings
from distill_pipeline.distillation.tuning import tune_similarities
from distill_pipeline.distillation.vectors import unit_rows
from distill_pipeline.distillation.vocabulary import Vocabulary
from distill_pipeline.distillation.weightings import row_weights, weightings
from distill_pipeline.distillation.words import entry_groups
from distill_pipeline.recipe import RecipeError

PENALTIES = (0.1, 0.2, 0.4)
HELD_OUT_EVERY = 20
MOST_HELD_OUT = 2000
MOST_TEXTS_OF_START = 25_000
"""Its weights and projection are few numbers: more texts cost time and change next to nothing."""


@dataclass(frozen=True)
class Sentences:
    """The teacher's embeddings of texts, with the sizes of the groups of texts of one kind, one after the other."""

    embeddings: Embeddings
    groups: Sequence[int]

    def centred(self, axes: npt.NDArray[np.float64] | None = None) -> Matrix:
        """Return the unit embeddings, on the axes if given, less their group's mean: float32 (texts, dims)."""
        rows = np.concatenate(
            [
                (unit_rows(b) if axes is None else unit_rows(b) @ axes).astype(np.float32)
                for b in self.embeddings.batches()
            ]
        )
        first = 0
        for size in self.groups:
            rows[first : first + size] -= rows[first : first + size].mean(axis=0)
            first += size
        return rows


@dataclass(frozen=True)
class Problem:
    """What the rows are fitted to.

    shares: (texts, entries). importance: (texts,), how much a text's error counts. targets: (texts, dims), centred.
    start: (entries, dims). weights: (entries,), of the start. held_out: (texts,) bool. teacher: (held-out texts,
    teacher dims), for measuring agreement.
    """

    shares: sparse.csr_matrix
    importance: Matrix
    targets: Matrix
    start: Matrix
    weights: Matrix
    held_out: npt.NDArray[np.bool_]
    teacher: Matrix


def refine_rows(
    vocabulary: Vocabulary, entries: Embeddings, sentences: Sentences, folder: Path, settings: Settings
) -> dict[str, Any]:
    """Fit the rows to the sentences and write `matrix.parquet` (row, embedding, weight).

    The weight of a row is the one that the refinement starts with; where rows share centroids, the row's length, by
    which its centroid is multiplied.

    Args:
        vocabulary: The student's.
        entries: The teacher's embeddings of the vocabulary's entries.
        sentences: Texts with the teacher's embeddings of them.
        folder: Where to write.
        settings: The recipe's.

    Returns:
        Facts: rows, dimensions, explained variance, and of the solver: texts, entries touched, penalty, agreement on
        held-out texts for each penalty, iterations, residual, R squared. With a given penalty, also the agreement
        after a fit to half of the texts: how much the other half won says what twice as many would.

    Raises:
        RecipeError: More directions than the teacher has.
    """
    groups = entry_groups(vocabulary.tokenizer)
    components, keep = fit_directions(entries, sentences, settings)
    problem = pose(vocabulary, groups, entries, sentences, (components, settings))
    penalty, agreements, guess = _choose_penalty(problem, settings, keep)
    half = {}
    if settings.penalty != "auto":
        half["agreement_with_half_of_the_texts"] = _agreement_of_half(problem, settings, keep, penalty)
    solution = solve(problem, slice(None), penalty, guess)
    refined = solution.rows
    losses: list[float] = []
    if settings.similarity_steps:
        refined, losses = tune_similarities(
            refined, problem.shares, sentences.centred(), steps=settings.similarity_steps, seed=settings.seed
        )
    rows = whiten(refined, problem.shares, settings.whitening, keep)
    rows[groups < 0] = 0
    rows /= np.median(np.linalg.norm(rows[groups >= 0], axis=1))  # a scale that every dtype holds well
    write_matrix(folder, rows, problem.weights, settings.clusters)
    return {
        "rows": len(rows),
        "dimensions": int(rows.shape[1]),
        "teacher_dimensions": entries.dimensions,
        "explained_variance": _explained(components, settings, keep),
        "cumulative_variance": [round(float(share), 6) for share in components.explained],
        "refinement": {
            **_solver_facts(problem, solution, penalty, agreements),
            **half,
            "similarity_error_by_step": [round(loss, 6) for loss in losses],
        },
    }


def fit_directions(entries: Embeddings, sentences: Sentences, settings: Settings) -> tuple[PrincipalComponents, int]:
    """Return the directions to fit on, and how many of the student's own to keep in the end.

    The fit is done on up to twice as many directions as are kept: which of them matter to the student is seen from
    its own vectors afterwards.
    """
    source = sentences.embeddings if settings.directions == "sentences" else entries
    components = fit_principal_components(source.batches, "auto", spread=source.spread())
    keep = directions_to_keep(settings.pca_dims, components.variances, source.rows)
    first = settings.remove_directions
    axes = components.axes[:, first : first + 2 * keep]
    if axes.shape[1] < keep:
        if settings.pca_dims != "auto" or not axes.shape[1]:
            raise RecipeError(
                f"pca_dims={settings.pca_dims} and remove_directions={first} need more than the teacher's "
                f"{source.dimensions} directions; choose fewer of either"
            )
        keep = axes.shape[1]
    return PrincipalComponents(components.mean, axes, components.variances), keep


def _explained(components: PrincipalComponents, settings: Settings, keep: int) -> float:
    first = settings.remove_directions
    return float(components.variances[first : first + keep].sum() / components.variances.sum())


def pose(
    vocabulary: Vocabulary,
    groups: npt.NDArray[np.int8],
    entries: Embeddings,
    sentences: Sentences,
    how: tuple[PrincipalComponents, Settings],
) -> Problem:
    """Gather what the rows are fitted to; `how` is what `fit_directions` gave, and the settings."""
    components, settings = how
    paths = sentences.embeddings.paths
    texts = [text for path in paths for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]
    shares = token_shares(vocabulary.tokenizer, texts, skip=np.flatnonzero(groups < 0))
    if not shares.nnz:
        raise RecipeError("the vocabulary holds no token of the refinement's texts; are both of one language?")
    targets = sentences.centred(components.axes)
    rows = _centred_entries(entries, groups)
    importance = importance_of(sentences.groups, balanced=settings.balanced)
    fit = weightings()[settings.weighting].fit
    if fit is not None:
        step = -(-len(texts) // MOST_TEXTS_OF_START)
        some = slice(step // 2, None, step)  # beside the held-out texts, which are the first of each twenty
        start, weights = fit(
            rows,
            components.axes,
            (vocabulary.frequencies, groups),
            *weighed(shares[some], targets[some], importance[some]),
        )
    else:
        weights = row_weights(settings.weighting, vocabulary.frequencies, settings.weighting_fields).astype(np.float32)
        weights[groups < 0] = 0
        start = np.concatenate([(batch @ components.axes).astype(np.float32) for batch in rows()]) * weights[:, None]
        means = shares @ start
        start *= np.float32(np.vdot(means, targets) / max(float(np.vdot(means, means)), 1e-12))
    held_out = np.zeros(len(texts), dtype=bool)
    held_out[::HELD_OUT_EVERY] = True
    held_out[np.flatnonzero(held_out)[MOST_HELD_OUT:]] = False
    return Problem(shares, importance, targets, start, weights, held_out, _rows_of(sentences.embeddings, held_out))


def importance_of(groups: Sequence[int], *, balanced: bool) -> Matrix:
    """Return how much each text's squared error counts, float32 (texts,): 1, or so that the first group balances.

    Balanced, the texts of all further groups together count as much as those of the first, but none less than one of
    the first.
    """
    importance = np.ones(sum(groups), dtype=np.float32)
    if balanced and len(groups) > 1:
        importance[groups[0] :] = max(1.0, groups[0] / sum(groups[1:]))
    return importance


def weighed(shares: sparse.csr_matrix, targets: Matrix, importance: Matrix) -> tuple[sparse.csr_matrix, Matrix]:
    """Return shares and targets whose plain least squares are those weighed by importance."""
    roots = np.sqrt(importance)
    return (sparse.diags_array(roots) @ shares).tocsr(), targets * roots[:, None]


def solve(problem: Problem, texts: slice | npt.NDArray[np.generic], penalty: float, guess: Matrix) -> Solution:
    """Solve the ridge regression on some of the problem's texts."""
    shares, targets = weighed(problem.shares[texts], problem.targets[texts], problem.importance[texts])
    return solve_ridge(shares, targets, problem.start, penalty, guess=guess)


def _centred_entries(entries: Embeddings, groups: npt.NDArray[np.int8]) -> Batches:
    """Return what starts a pass over the entries at unit length, centred on the mean of the words."""
    words, total, first = groups == 0, np.zeros(entries.dimensions), 0
    for batch in entries.batches():
        total += unit_rows(batch)[words[first : first + len(batch)]].sum(axis=0)
        first += len(batch)
    mean = total / max(int(words.sum()), 1)
    return lambda: (unit_rows(batch) - mean for batch in entries.batches())


def _choose_penalty(
    problem: Problem, settings: Settings, keep: int
) -> tuple[float, dict[str, dict[str, float]], Matrix]:
    """Find the penalty whose student agrees best with the teacher on held-out texts; no labels are looked at.

    From the smallest up, until one is worse than the one before.

    Returns:
        The penalty of the highest sum of similarity correlation and neighbour overlap; these for each penalty that was
        tried; and the rows that it gave, to begin the final solution at.
    """
    penalties = PENALTIES if settings.penalty == "auto" else (settings.penalty,)
    train = ~problem.held_out
    agreements, best, best_score, rows = {}, penalties[0], -np.inf, problem.start
    best_rows = rows
    for penalty in penalties:
        rows = solve(problem, train, penalty, rows).rows
        finished = whiten(rows, problem.shares[train], settings.whitening, keep)
        agreement = agreement_on_held_out(problem, finished)
        agreements[str(penalty)] = agreement
        score = agreement["similarity_correlation"] + agreement["neighbour_overlap"]
        if score <= best_score:
            break
        if score > best_score:  # or no number
            best, best_score, best_rows = penalty, score, rows
    return best, agreements, best_rows


def _agreement_of_half(problem: Problem, settings: Settings, keep: int, penalty: float) -> dict[str, float]:
    some = np.flatnonzero(~problem.held_out)[::2]
    rows = solve(problem, some, penalty, problem.start).rows
    return agreement_on_held_out(problem, whiten(rows, problem.shares[some], settings.whitening, keep))


def agreement_on_held_out(problem: Problem, rows: Matrix) -> dict[str, float]:
    """Compare teacher and student on the held-out texts (see `compare`)."""
    return compare(problem.teacher, problem.shares[problem.held_out] @ rows)


def _solver_facts(
    problem: Problem, solution: Solution, penalty: float, agreements: dict[str, dict[str, float]]
) -> dict[str, Any]:
    total = _sum_of_squares(problem.targets)

    def r_squared(rows: Matrix) -> float:
        return 1 - _sum_of_squares(problem.targets - problem.shares @ rows) / total

    return {
        "texts": problem.shares.shape[0],
        "entries_touched": int((problem.shares.getnnz(axis=0) > 0).sum()),
        "penalty": penalty,
        "agreement_on_held_out_texts": agreements,
        "iterations": solution.iterations,
        "residual": solution.residual,
        "r_squared": r_squared(solution.rows),
        "r_squared_of_the_start": r_squared(problem.start),
    }


def _sum_of_squares(matrix: Matrix) -> float:
    # Summed in float64 piece by piece: a copy of 200,000 texts' vectors in float64 would be the most that is in memory.
    return float(np.einsum("ij,ij->", matrix, matrix, dtype=np.float64))


def _rows_of(embeddings: Embeddings, wanted: npt.NDArray[np.bool_]) -> Matrix:
    first, found = 0, []
    for batch in embeddings.batches():
        found.append(batch[wanted[first : first + len(batch)]])
        first += len(batch)
    return np.concatenate(found)

"""From the teacher's rows and its embeddings of texts to the student's refined rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.fitting.problem import Problem, TextEmbeddings, apply_importance, build_problem, fit_directions
from distill_pipeline.fitting.reduction import write_matrix
from distill_pipeline.fitting.ridge import Matrix, Solution, solve_ridge, whiten
from distill_pipeline.fitting.settings import FitSettings
from distill_pipeline.fitting.tuning import tune_similarities
from distill_pipeline.quality.agreement import compare
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.vocabulary.vocabulary import Vocabulary
from distill_pipeline.vocabulary.words import entry_groups

_COMPARED = ("neighbour_overlap", "similarity_correlation")


def refine_rows(
    vocabulary: Vocabulary, entries: Embeddings, sentences: TextEmbeddings, folder: Path, settings: FitSettings
) -> dict[str, Any]:
    """Fit the rows to the sentences and write `matrix.parquet` (row, embedding, weight).

    The weight of a row is the one that the refinement starts with.

    Args:
        vocabulary: The student's.
        entries: The teacher's embeddings of the vocabulary's entries.
        sentences: Texts with the teacher's embeddings of them.
        folder: Where to write.
        settings: The recipe's.

    Returns:
        Facts: rows, dimensions, explained variance, and of the solver: texts, entries touched, penalty, agreement on
        held-out texts for each penalty, iterations, residual, R squared.

    Raises:
        RecipeError: More directions than the teacher has.
    """
    groups = entry_groups(vocabulary.tokenizer)
    components, keep = fit_directions(sentences, settings)
    problem = build_problem(vocabulary, groups, entries, sentences, components=components, settings=settings)
    penalty, agreements, guess = _choose_penalty(problem, settings, keep)
    solution = solve_weighted(problem, slice(None), penalty, guess)
    refined = solution.rows
    losses: list[float] = []
    if settings.method.similarity_steps:
        refined, losses = tune_similarities(
            refined, problem.shares, sentences.centred(), steps=settings.method.similarity_steps, seed=settings.seed
        )
    rows = whiten(refined, problem.shares, settings.whitening, keep)
    rows[groups < 0] = 0
    rows /= np.median(np.linalg.norm(rows[groups >= 0], axis=1))  # a scale that every dtype holds well
    write_matrix(folder, rows, problem.weights)
    return {
        "rows": len(rows),
        "dimensions": int(rows.shape[1]),
        "teacher_dimensions": entries.dimensions,
        "explained_variance": float(components.variances[:keep].sum() / components.variances.sum()),
        "cumulative_variance": [round(float(share), 6) for share in components.explained],
        "refinement": {
            **_solver_facts(problem, solution, penalty, agreements),
            "similarity_error_by_step": [round(loss, 6) for loss in losses],
        },
    }


def solve_weighted(problem: Problem, texts: slice | npt.NDArray[np.generic], penalty: float, guess: Matrix) -> Solution:
    """Solve the ridge regression on some of the problem's texts."""
    shares, targets = apply_importance(problem.shares[texts], problem.targets[texts], problem.importance[texts])
    return solve_ridge(shares, targets, problem.start, penalty, guess=guess)


def _choose_penalty(
    problem: Problem, settings: FitSettings, keep: int
) -> tuple[float, dict[str, dict[str, float]], Matrix]:
    """Find the penalty whose student agrees best with the teacher on held-out texts; no labels are looked at.

    From the smallest up, until one is worse than the one before.

    Returns:
        The penalty of the highest sum of similarity correlation and neighbour overlap; these for each penalty that was
        tried; and the rows that it gave, to begin the final solution at.
    """
    penalties = settings.method.penalties
    train = ~problem.held_out
    agreements, best, best_score, rows = {}, penalties[0], -np.inf, problem.start
    best_rows = rows
    for penalty in penalties:
        rows = solve_weighted(problem, train, penalty, rows).rows
        finished = whiten(rows, problem.shares[train], settings.whitening, keep)
        agreement = held_out_agreement(problem, finished)
        agreements[str(penalty)] = agreement
        score = sum(agreement[measure] for measure in _COMPARED)
        if score <= best_score:
            break
        if score > best_score:  # or no number
            best, best_score, best_rows = penalty, score, rows
    return best, agreements, best_rows


def held_out_agreement(problem: Problem, rows: Matrix) -> dict[str, float]:
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

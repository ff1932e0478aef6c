"""From the teacher's embeddings of entries and of texts to the student's refined rows."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.fitting.parallel import one_blas_thread
from distill_pipeline.fitting.problem import Problem, TextEmbeddings, apply_importance, build_problem, fit_directions
from distill_pipeline.fitting.reduction import write_matrix
from distill_pipeline.fitting.ridge import Matrix, Solution, solve_ridge, whiten
from distill_pipeline.fitting.settings import FitSettings
from distill_pipeline.fitting.tuning import tune_similarities
from distill_pipeline.quality.agreement import compare
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.vocabulary.vocabulary import Vocabulary


@one_blas_thread
def refine_rows(
    vocabulary: Vocabulary, entries: Embeddings, texts: TextEmbeddings, folder: Path, settings: FitSettings
) -> dict[str, Any]:
    """Fit the rows to the texts and write `matrix.parquet` (row, embedding, weight: the one in the fit's start).

    `entries` are the teacher's embeddings of the vocabulary's entries.

    Returns:
        Facts: rows, dimensions, explained variance, and of the solver: texts, entries touched, penalty, agreement on
        held-out texts for each penalty, iterations, residual, R squared.

    Raises:
        RecipeError: `pca_dims` is too large, or the texts hold none of the vocabulary's entries.
    """
    components, keep = fit_directions(texts, settings)
    problem = build_problem(vocabulary, entries, texts, components, settings)
    penalty, agreements, guess = _choose_penalty(problem, settings, keep)
    solution = solve_weighted(problem, slice(None), penalty, guess)
    refined = solution.rows
    losses: list[float] = []
    if settings.similarity_steps:
        refined, losses = tune_similarities(
            refined, problem.shares, texts.centred(), steps=settings.similarity_steps, seed=settings.seed
        )
    rows = whiten(refined, problem.shares, settings.whitening, keep)
    rows[problem.groups < 0] = 0
    rows /= np.median(np.linalg.norm(rows[problem.groups >= 0], axis=1))  # a scale that every dtype holds well
    write_matrix(folder, rows, problem.weights)
    return {
        "rows": len(rows),
        "dimensions": int(rows.shape[1]),
        "teacher_dimensions": entries.dimensions,
        "explained_variance": float(components.variances[:keep].sum() / components.variances.sum()),
        "cumulative_variance": [round(float(share), 6) for share in components.explained],
        "refinement": {
            **_solver_facts(problem, solution),
            "penalty": penalty,
            "agreement_on_held_out_texts": agreements,
            "similarity_error_by_step": [round(loss, 6) for loss in losses],
        },
    }


def solve_weighted(problem: Problem, texts: slice | npt.NDArray[np.generic], penalty: float, guess: Matrix) -> Solution:
    """Solve the ridge regression on some of the problem's texts, weighted by their importance."""
    shares, targets = apply_importance(problem.shares[texts], problem.targets[texts], problem.importance[texts])
    return solve_ridge(shares, targets, problem.start, penalty, guess=guess)


def _choose_penalty(
    problem: Problem, settings: FitSettings, keep: int
) -> tuple[float, dict[str, dict[str, float]], Matrix]:
    """Return the penalty that agrees best with the teacher on held-out texts, without looking at labels.

    From the smallest up, until one is no better than the one before. Best is the highest sum of similarity
    correlation and neighbour overlap.

    Returns:
        The penalty; the agreement for each one tried; and the rows it gave, as a guess for the final solution.
    """
    train = ~problem.held_out
    chosen, best, rows = settings.penalties[0], -np.inf, problem.start
    agreements = {}
    for penalty in settings.penalties:
        solved = solve_weighted(problem, train, penalty, rows).rows
        finished = whiten(solved, problem.shares[train], settings.whitening, keep)
        agreement = agreements[str(penalty)] = held_out_agreement(problem, finished)
        score = agreement["neighbour_overlap"] + agreement["similarity_correlation"]
        if score <= best:
            break
        chosen, best, rows = penalty, score, solved
    return chosen, agreements, rows


def held_out_agreement(problem: Problem, rows: Matrix) -> dict[str, float]:
    """Compare teacher and student on the held-out texts (see `compare`)."""
    return compare(problem.teacher, problem.shares[problem.held_out] @ rows)


def _solver_facts(problem: Problem, solution: Solution) -> dict[str, Any]:
    total = _sum_of_squares(problem.targets)

    def r_squared(rows: Matrix) -> float:
        return 1 - _sum_of_squares(problem.targets - problem.shares @ rows) / total

    return {
        "texts": problem.shares.shape[0],
        "entries_touched": int((problem.shares.getnnz(axis=0) > 0).sum()),
        "iterations": solution.iterations,
        "residual": solution.residual,
        "r_squared": r_squared(solution.rows),
        "r_squared_of_the_start": r_squared(problem.start),
    }


def _sum_of_squares(matrix: Matrix) -> float:
    # Summed in float64 piece by piece: a float64 copy of 200,000 texts' vectors would be the peak of memory.
    return float(np.einsum("ij,ij->", matrix, matrix, dtype=np.float64))

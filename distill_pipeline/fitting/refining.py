"""From the teacher's embeddings of entries and of texts to the student's refined rows."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from distill_pipeline.fitting.parallel import Spread, on_cores, one_blas_thread
from distill_pipeline.fitting.problem import Problem, TextEmbeddings, build_problem, fit_directions
from distill_pipeline.fitting.projection import fit_projection
from distill_pipeline.fitting.reduction import write_matrix
from distill_pipeline.fitting.ridge import Columns, Matrix, Solution, Solved, solve_ridge, whiten
from distill_pipeline.fitting.settings import FitSettings
from distill_pipeline.fitting.tuning import tune_similarities
from distill_pipeline.quality.agreement import compare
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.vocabulary.vocabulary import Vocabulary


@one_blas_thread
def refine_rows(
    vocabulary: Vocabulary,
    entries: Embeddings,
    texts: TextEmbeddings,
    folder: Path,
    settings: FitSettings,
    *,
    spread: Spread[Columns, Solved] = on_cores,
) -> dict[str, Any]:
    """Fit the rows to the texts and write `matrix.parquet` (row, embedding, weight: the one in the fit's start).

    For a student in a space of its own, its projection of the teacher's vectors is written too.

    `entries` are the teacher's embeddings of the vocabulary's entries; `spread` is for `solve_ridge`.

    Returns:
        Facts: rows, dimensions, explained variance, and of the solver: texts, entries touched, penalty, agreement on
        held-out texts for each penalty, iterations, residual, R squared; and what `fit_projection` found.

    Raises:
        RecipeError: `pca_dims` is too large, or the texts hold none of the vocabulary's entries.
    """
    components, keep = fit_directions(texts, settings)
    problem = build_problem(vocabulary, entries, texts, components, settings, folder=folder)
    solve = partial(solve_ridge, problem.shares, problem.targets, problem.start, spread=spread)
    penalty, agreements, guess = _choose_penalty(problem, settings, keep, solve)
    solution = solve(penalty, importance=problem.importance, guess=guess)
    solved = _solver_facts(problem, solution)  # of the rows before the similarity steps
    losses: list[float] = []
    if settings.similarity_steps:
        teacher = texts.centred(folder=folder)
        losses = tune_similarities(
            solution.rows, problem.shares, teacher, steps=settings.similarity_steps, seed=settings.seed
        )
    rows = whiten(solution.rows, problem.shares, settings.whitening, keep)
    rows[problem.groups < 0] = 0
    rows /= np.median(np.linalg.norm(rows[problem.groups >= 0], axis=1))  # a scale that every dtype holds well
    projection, found = fit_projection(rows, problem.shares, texts)
    if settings.space == "teacher":
        rows = projection.rows_in_teacher_space(rows)
    else:
        projection.write(folder)
    write_matrix(folder, rows, problem.weights)
    return {
        "rows": len(rows),
        "dimensions": int(rows.shape[1]),
        "teacher_dimensions": entries.dimensions,
        "explained_variance": float(components.variances[:keep].sum() / components.variances.sum()),
        "cumulative_variance": [round(float(share), 6) for share in components.explained],
        "refinement": {
            **solved,
            "penalty": penalty,
            "agreement_on_held_out_texts": agreements,
            "similarity_error_by_step": [round(loss, 6) for loss in losses],
        },
        "documents_found": found,
    }


def _choose_penalty(
    problem: Problem, settings: FitSettings, keep: int, solve: Callable[..., Solution]
) -> tuple[float, dict[str, dict[str, float]], Matrix | None]:
    """Return the penalty that agrees best with the teacher on held-out texts, without looking at labels.

    From the smallest up, until one is no better than the one before. Best is the highest sum of similarity
    correlation and neighbour overlap. Where there is no choice, nothing is measured.

    Returns:
        The penalty; the agreement for each one tried; and the rows it gave, as a guess for the final solution.
    """
    if len(settings.penalties) == 1:
        return settings.penalties[0], {}, None
    train = problem.importance * ~problem.held_out
    chosen, best, rows = settings.penalties[0], -np.inf, None
    agreements = {}
    for penalty in settings.penalties:
        solved = solve(penalty, importance=train, guess=rows).rows
        finished = whiten(solved, problem.shares, settings.whitening, keep)
        agreement = agreements[str(penalty)] = held_out_agreement(problem, finished)
        score = agreement["neighbour_overlap"] + agreement["similarity_correlation"]
        if score <= best:
            break
        chosen, best, rows = penalty, score, solved
    return chosen, agreements, rows


def held_out_agreement(problem: Problem, rows: Matrix) -> dict[str, float]:
    """Compare teacher and student on the held-out texts (see `compare`)."""
    return compare(problem.teacher, problem.shares.select(np.flatnonzero(problem.held_out)) @ rows)


def _solver_facts(problem: Problem, solution: Solution) -> dict[str, Any]:
    def squares(texts: slice, means: Matrix) -> tuple[float, float]:
        wanted = problem.targets[texts]
        return _sum_of_squares(wanted - means), _sum_of_squares(wanted)

    def r_squared(rows: Matrix) -> float:
        left, total = map(sum, zip(*problem.shares.over_means(rows, squares), strict=True))
        return float(1 - left / total)

    return {
        "texts": problem.shares.shape[0],
        "entries_touched": int((problem.shares.texts_of_entries > 0).sum()),
        "iterations": solution.iterations,
        "residual": solution.residual,
        "r_squared": r_squared(solution.rows),
        "r_squared_of_the_start": r_squared(problem.start),
    }


def _sum_of_squares(matrix: Matrix) -> float:
    return float(np.einsum("ij,ij->", matrix, matrix, dtype=np.float64))

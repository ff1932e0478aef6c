"""From the teacher's rows and its embeddings of texts to the student's refined rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy import sparse

from distill_pipeline.distillation.parts import Embeddings
from distill_pipeline.distillation.pca import PrincipalComponents, fit_principal_components
from distill_pipeline.distillation.quality import compare
from distill_pipeline.distillation.reduction import write_matrix
from distill_pipeline.distillation.refinement import Matrix, Solution, fit_start, solve_ridge, token_shares, whiten
from distill_pipeline.distillation.vocabulary import Vocabulary
from distill_pipeline.distillation.weighting import row_weights
from distill_pipeline.distillation.words import entry_groups
from distill_pipeline.recipe import RecipeError

PENALTIES = (0.4, 0.2, 0.1, 0.05, 0.025)
HELD_OUT_EVERY = 20
MOST_HELD_OUT = 2000


@dataclass(frozen=True)
class Settings:
    """How to refine; the fields are those of the recipe."""

    pca_dims: int | float | str
    weighting: str
    sif_coefficient: float
    penalty: float | Literal["auto"]
    directions: Literal["sentences", "entries"]
    remove_directions: int
    whitening: float
    clusters: int | None


@dataclass(frozen=True)
class _Problem:
    """What the rows are fitted to.

    shares: (texts, entries). targets: (texts, dims), centred. start: (entries, dims). held_out: (texts,) bool.
    teacher: (held-out texts, teacher dims), for measuring agreement.
    """

    shares: sparse.csr_matrix
    targets: Matrix
    start: Matrix
    held_out: npt.NDArray[np.bool_]
    teacher: Matrix


def refine_rows(
    vocabulary: Vocabulary, entries: Embeddings, sentences: Embeddings, folder: Path, settings: Settings
) -> dict[str, Any]:
    """Fit the rows to the sentences and write `matrix.parquet` (row, embedding, weight).

    The weight of a row is its length relative to that of the teacher's vector on the same directions.

    Args:
        vocabulary: The student's.
        entries: The teacher's embeddings of the vocabulary's entries.
        sentences: Parts with `text` and the teacher's embedding of it.
        folder: Where to write.
        settings: The recipe's.

    Returns:
        Facts: rows, dimensions, explained variance, and of the solver: texts, entries touched, penalty, agreement on
        held-out texts for each penalty, iterations, residual, R squared.

    Raises:
        RecipeError: More directions than the teacher has.
    """
    groups = entry_groups(vocabulary.tokenizer)
    components = _directions(entries, sentences, settings)
    projected = _project_entries(entries, components, groups)
    problem = _pose(vocabulary, projected, sentences, components, settings)
    penalty, agreements = _choose_penalty(problem, settings)
    solution = solve_ridge(problem.shares, problem.targets, problem.start, penalty)
    rows = whiten(solution.rows, problem.shares, settings.whitening) if settings.whitening else solution.rows
    rows[groups < 0] = 0
    rows /= np.median(np.linalg.norm(rows[groups >= 0], axis=1))  # a scale that every dtype holds well
    lengths = np.linalg.norm(projected, axis=1)
    weights = np.linalg.norm(rows, axis=1) / np.maximum(lengths / np.median(lengths), 1e-12)
    write_matrix(folder, rows, weights.astype(np.float32), settings.clusters)
    return {
        "rows": len(rows),
        "dimensions": int(rows.shape[1]),
        "teacher_dimensions": entries.dimensions,
        "explained_variance": _explained(components, settings),
        "cumulative_variance": [round(float(share), 6) for share in components.explained],
        "refinement": _solver_facts(problem, solution, penalty, agreements),
    }


def _directions(entries: Embeddings, sentences: Embeddings, settings: Settings) -> PrincipalComponents:
    source = sentences if settings.directions == "sentences" else entries
    keep = settings.pca_dims
    if isinstance(keep, int):
        keep += settings.remove_directions
    components = fit_principal_components(source.batches, keep)
    axes = components.axes[:, settings.remove_directions :]
    if not axes.shape[1]:
        raise RecipeError(f"remove_directions={settings.remove_directions} leaves no direction; choose fewer")
    return PrincipalComponents(components.mean, axes, components.variances)


def _explained(components: PrincipalComponents, settings: Settings) -> float:
    first = settings.remove_directions
    kept = components.variances[first : first + components.axes.shape[1]]
    return float(kept.sum() / components.variances.sum())


def _project_entries(entries: Embeddings, components: PrincipalComponents, groups: npt.NDArray[np.int8]) -> Matrix:
    """Return the entries at unit length, centred on their own mean, on the directions: float32 (entries, dims)."""
    projected = np.concatenate([(_unit(batch) @ components.axes).astype(np.float32) for batch in entries.batches()])
    projected -= projected[groups == 0].mean(axis=0)
    projected[groups < 0] = 0
    return projected


def _pose(
    vocabulary: Vocabulary,
    projected: Matrix,
    sentences: Embeddings,
    components: PrincipalComponents,
    settings: Settings,
) -> _Problem:
    groups = entry_groups(vocabulary.tokenizer)
    texts = [text for path in sentences.paths for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]
    shares = token_shares(vocabulary.tokenizer, texts, skip=np.flatnonzero(groups < 0))
    targets = np.concatenate([(_unit(batch) @ components.axes).astype(np.float32) for batch in sentences.batches()])
    targets -= targets.mean(axis=0)
    if settings.weighting == "fitted":
        start = fit_start(projected, vocabulary.frequencies, groups, shares, targets)
    else:
        weights = row_weights(settings.weighting, vocabulary.frequencies, settings.sif_coefficient)
        start = projected * weights.astype(np.float32)[:, None]
        means = shares @ start
        start *= np.float32(np.vdot(means, targets) / max(float(np.vdot(means, means)), 1e-12))
    held_out = np.zeros(len(texts), dtype=bool)
    held_out[::HELD_OUT_EVERY] = True
    held_out[np.flatnonzero(held_out)[MOST_HELD_OUT:]] = False
    return _Problem(shares, targets, start, held_out, _rows_of(sentences, held_out))


def _choose_penalty(problem: _Problem, settings: Settings) -> tuple[float, dict[str, dict[str, float]]]:
    """Return the penalty whose student agrees best with the teacher on held-out texts, and all agreements.

    The best is that of the highest sum of similarity correlation and neighbour overlap. No labels are looked at.
    """
    penalties = PENALTIES if settings.penalty == "auto" else (settings.penalty,)
    train = ~problem.held_out
    shares, targets = problem.shares[train], problem.targets[train]
    agreements = {}
    for penalty in penalties:
        rows = solve_ridge(shares, targets, problem.start, penalty).rows
        rows = whiten(rows, shares, settings.whitening) if settings.whitening else rows
        agreements[str(penalty)] = compare(problem.teacher, problem.shares[problem.held_out] @ rows)
    best = max(
        penalties,
        key=lambda p: agreements[str(p)]["similarity_correlation"] + agreements[str(p)]["neighbour_overlap"],
    )
    return best, agreements


def _solver_facts(
    problem: _Problem, solution: Solution, penalty: float, agreements: dict[str, dict[str, float]]
) -> dict[str, Any]:
    residual = problem.targets - problem.shares @ solution.rows
    start_residual = problem.targets - problem.shares @ problem.start
    total = float((problem.targets.astype(np.float64) ** 2).sum())
    return {
        "texts": problem.shares.shape[0],
        "entries_touched": int((problem.shares.getnnz(axis=0) > 0).sum()),
        "penalty": penalty,
        "agreement_on_held_out_texts": agreements,
        "iterations": solution.iterations,
        "residual": solution.residual,
        "r_squared": 1 - float((residual.astype(np.float64) ** 2).sum()) / total,
        "r_squared_of_the_start": 1 - float((start_residual.astype(np.float64) ** 2).sum()) / total,
    }


def _rows_of(embeddings: Embeddings, wanted: npt.NDArray[np.bool_]) -> Matrix:
    first, found = 0, []
    for batch in embeddings.batches():
        found.append(batch[wanted[first : first + len(batch)]])
        first += len(batch)
    return np.concatenate(found)


def _unit(rows: Matrix) -> npt.NDArray[np.float64]:
    wide = rows.astype(np.float64)
    unit: npt.NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return unit

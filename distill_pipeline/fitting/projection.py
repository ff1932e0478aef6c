"""The map between the teacher's space and the student's, by which static queries search the teacher's documents.

It is ridge regression of the student's vectors of texts on the teacher's: P minimises |T P - S|² + λ |P|², both sides
centred. A document t is projected to (t - mean) P; its score with a query's student vector s is s · (t - mean) P. The
same score, less a constant for each query, is (s Pᵀ) · t: rows times Pᵀ are a student in the teacher's own space.
Regression the other way, of the teacher's queries on the student's, has smaller squares and ranks worse: it shrinks
just the directions that tell similar documents apart (docs/experiments.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from distill_pipeline.fitting.parallel import ROWS_AT_ONCE, in_order, project, slices
from distill_pipeline.store.embeddings import unit_rows

if TYPE_CHECKING:
    from distill_pipeline.fitting.problem import TextEmbeddings
    from distill_pipeline.fitting.shares import TokenShares
    from distill_pipeline.store.embeddings import Embeddings

Matrix = npt.NDArray[np.float32]

PROJECTION = "teacher_projection.safetensors"

_PENALTY = 0.01
"""Of the mean variance of the teacher's directions; between 0.001 and 0.1 nothing depends on it."""

_MAX_TEXTS = 60_000
_DOCUMENT = 12
"""Texts whose mean stands for a long document."""
_DOCUMENTS = 1000


@dataclass(frozen=True)
class Projection:
    """Projects the teacher's vectors: `unit vectors @ weights + bias`, compared with queries by dot product.

    `weights` are float32 (teacher dims, student dims), `bias` is float32 (student dims,); what is projected has a mean
    length of about 1.
    """

    weights: Matrix
    bias: Matrix

    def apply(self, teacher: npt.NDArray[np.floating]) -> Matrix:
        """Return the teacher's vectors in the student's space, float32 (n, student dims)."""
        projected: Matrix = unit_rows(teacher).astype(np.float32) @ self.weights + self.bias
        return projected

    def rows_in_teacher_space(self, rows: Matrix) -> Matrix:
        """Return the student's rows in the teacher's space, float32 (entries, teacher dims), of median length 1."""
        moved = project(rows, self.weights.T)
        lengths = np.linalg.norm(moved, axis=1)
        moved /= np.median(lengths[lengths > 0])
        return moved

    def write(self, folder: Path) -> None:
        """Write `teacher_projection.safetensors`."""
        save_file({"weights": self.weights, "bias": self.bias}, folder / PROJECTION)


def read_projection(folder: Path) -> Projection | None:
    """Return what `Projection.write` wrote into a folder, or None."""
    path = folder / PROJECTION
    return Projection(**load_file(path)) if path.is_file() else None


def fit_projection(rows: Matrix, shares: TokenShares, texts: TextEmbeddings) -> tuple[Projection, dict[str, float]]:
    """Fit the projection to a refinement's texts, or to a sample of many, each kind centred on its own mean.

    Args:
        rows: The student's, float32 (entries, student dims).
        shares: Of the texts.
        texts: The refinement's texts with the teacher's vectors.

    Returns:
        The projection, and how often, by the mean reciprocal rank, a text of a document finds that document among
        others: `teacher` x teacher, and `static` query x teacher. A document is the mean of some texts not fitted to.
    """
    step = -(-shares.shape[0] // _MAX_TEXTS)
    sample = np.arange(0, shares.shape[0], step)
    student, (teacher, mean) = shares.select(sample) @ rows, _unit_sample(texts.embeddings, step)
    borders = np.searchsorted(sample, np.cumsum(texts.group_sizes)[:-1])
    for kind in (*np.split(student, borders), *np.split(teacher, borders)):
        np.subtract(kind, kind.sum(axis=0, dtype=np.float64) / max(len(kind), 1), out=kind, casting="same_kind")
    held_out = np.arange(len(sample)) % 10 == 0
    weights = _ridge(teacher, student, ~held_out)
    weights /= np.linalg.norm(project(teacher, weights), axis=1).mean()
    found = _documents_found(student[held_out] @ weights.T, teacher[held_out])
    return Projection(weights, (-mean @ weights).astype(np.float32)), found


def _unit_sample(embeddings: Embeddings, step: int) -> tuple[Matrix, npt.NDArray[np.float64]]:
    """Return every `step`-th row at unit length, float32, and the mean of all at unit length, float64 (dims,)."""

    def read(block: tuple[slice, Matrix]) -> tuple[Matrix, npt.NDArray[np.float64]]:
        place, units = block[0], unit_rows(block[1])
        return units[-place.start % step :: step].astype(np.float32), units.sum(axis=0)

    samples, sums = zip(*in_order(read, embeddings.placed_batches()), strict=True)
    return np.concatenate(samples), sum(sums) / embeddings.rows


def _ridge(inputs: Matrix, outputs: Matrix, chosen: npt.NDArray[np.bool_]) -> Matrix:
    """Return the map from inputs to outputs that is fitted to the chosen rows."""

    def moments(block: slice) -> tuple[Matrix, Matrix]:
        one, other = inputs[block][chosen[block]], outputs[block][chosen[block]]
        return one.T @ one, one.T @ other

    gram = np.zeros((inputs.shape[1], inputs.shape[1]))
    right = np.zeros((inputs.shape[1], outputs.shape[1]))
    for of_block, right_of_block in in_order(moments, slices(len(inputs), ROWS_AT_ONCE)):
        gram += of_block
        right += right_of_block
    penalty = _PENALTY * np.trace(gram) / len(gram)
    solved: Matrix = np.linalg.solve(gram + penalty * np.eye(len(gram)), right).astype(np.float32)
    return solved


def _documents_found(static: Matrix, teacher: Matrix) -> dict[str, float]:
    """Return the mean reciprocal rank of a document by its first text, for both kinds of queries."""
    count = min(len(teacher) // _DOCUMENT, _DOCUMENTS)
    members = np.arange(len(teacher))[: count * _DOCUMENT].reshape(count, _DOCUMENT).T  # neighbours are of one kind
    documents = unit_rows(teacher[members].mean(axis=0))
    found = {}
    for name, vectors in (("teacher", unit_rows(teacher)), ("static", static)):
        scores = vectors[members[0]] @ documents.T
        ranks = (scores >= np.diag(scores)[:, None]).sum(axis=1)
        found[name] = round(float(np.mean(1 / ranks)), 6) if count else 0.0
    return found

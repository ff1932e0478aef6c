"""What the student's rows are fitted to: the shares of tokens in texts, the teacher's embeddings, and a start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy import sparse

from distill_pipeline.errors import RecipeError
from distill_pipeline.fitting.pca import (
    Batches,
    PrincipalComponents,
    cached_decomposition,
    count_directions,
    fit_principal_components,
)
from distill_pipeline.fitting.ridge import Matrix, fit_start, token_shares, weight_curves
from distill_pipeline.fitting.settings import FitSettings
from distill_pipeline.fitting.weightings import row_weights
from distill_pipeline.recipe.choices import MIN_TEXTS
from distill_pipeline.store.embeddings import Embeddings, unit_rows
from distill_pipeline.vocabulary.vocabulary import Vocabulary

HELD_OUT_EVERY = 20
MAX_HELD_OUT = 2000
MAX_START_TEXTS = 25_000
"""Its weights and projection are few numbers: more texts cost time and change next to nothing."""


@dataclass(frozen=True)
class TextEmbeddings:
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


def fit_directions(sentences: TextEmbeddings, settings: FitSettings) -> tuple[PrincipalComponents, int]:
    """Return the directions to fit on, and how many of the student's own to keep in the end.

    The fit is done on up to twice as many directions as are kept: which of them matter to the student is seen from
    its own vectors afterwards.
    """
    source = sentences.embeddings
    components = fit_principal_components(source.batches, "auto", spread=cached_decomposition(source))
    keep = count_directions(settings.pca_dims, components.variances, source.rows)
    return PrincipalComponents(components.mean, components.axes[:, : 2 * keep], components.variances), keep


def build_problem(
    vocabulary: Vocabulary,
    groups: npt.NDArray[np.int8],
    entries: Embeddings,
    sentences: TextEmbeddings,
    *,
    components: PrincipalComponents,
    settings: FitSettings,
) -> Problem:
    """Return what the rows are fitted to.

    Args:
        vocabulary: The student's.
        groups: Of `entry_groups`, (entries,).
        entries: The teacher's embeddings of the entries.
        sentences: The texts with the teacher's embeddings of them.
        components: What `fit_directions` returned.
        settings: The recipe's.

    Raises:
        RecipeError: The texts hold none of the vocabulary's entries.
    """
    paths = sentences.embeddings.paths
    texts = [text for path in paths for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]
    shares = token_shares(vocabulary.tokenizer, texts, skip=np.flatnonzero(groups < 0))
    if not shares.nnz:
        raise RecipeError("the vocabulary holds no token of the refinement's texts; are both of one language?")
    targets = sentences.centred(components.axes)
    rows = _centred_entries(entries, groups)
    importance = text_importance(sentences.groups, balanced=settings.method.balanced)
    if settings.weighting == "fitted":
        step = -(-len(texts) // MAX_START_TEXTS)
        some = slice(step // 2, None, step)
        start, weights = fit_start(
            rows,
            components.axes,
            weight_curves(vocabulary.frequencies, groups),
            *apply_importance(shares[some], targets[some], importance[some]),
        )
    else:
        weights = row_weights(settings.weighting, vocabulary.frequencies, groups).astype(np.float32)
        weights[groups < 0] = 0
        start = np.concatenate([(batch @ components.axes).astype(np.float32) for batch in rows()]) * weights[:, None]
        means = shares @ start
        start *= np.float32(np.vdot(means, targets) / max(float(np.vdot(means, means)), 1e-12))
    held_out = hold_out(sentences.groups, passages=settings.method.balanced)
    return Problem(shares, importance, targets, start, weights, held_out, _rows_of(sentences.embeddings, held_out))


def hold_out(groups: Sequence[int], *, passages: bool) -> npt.NDArray[np.bool_]:
    """Choose the texts on which agreement is measured, (texts,): every twentieth, more of few, 2,000 at most.

    Args:
        groups: Sizes of the groups of texts.
        passages: Whether the first group's texts alone count, as long as there are enough of them: what more passages
            win is seen on passages.
    """
    among = groups[0] if passages and groups[0] >= MIN_TEXTS else sum(groups)
    held_out = np.zeros(sum(groups), dtype=bool)
    held_out[: among : max(4, min(among // 500, HELD_OUT_EVERY))] = True
    held_out[np.flatnonzero(held_out)[MAX_HELD_OUT:]] = False
    return held_out


def text_importance(groups: Sequence[int], *, balanced: bool) -> Matrix:
    """Return how much each text's squared error counts, float32 (texts,): 1, or so that the first group balances.

    Balanced, the texts of all further groups together count as much as those of the first, but none less than one of
    the first.
    """
    importance = np.ones(sum(groups), dtype=np.float32)
    if balanced and len(groups) > 1:
        importance[groups[0] :] = max(1.0, groups[0] / sum(groups[1:]))
    return importance


def apply_importance(
    shares: sparse.csr_matrix, targets: Matrix, importance: Matrix
) -> tuple[sparse.csr_matrix, Matrix]:
    """Return shares and targets whose plain least squares are those weighed by importance."""
    roots = np.sqrt(importance)
    return (sparse.diags_array(roots) @ shares).tocsr(), targets * roots[:, None]


def _centred_entries(entries: Embeddings, groups: npt.NDArray[np.int8]) -> Batches:
    """Return what starts a pass over the entries at unit length, centred on the mean of the words."""
    words, total, first = groups == 0, np.zeros(entries.dimensions), 0
    for batch in entries.batches():
        total += unit_rows(batch)[words[first : first + len(batch)]].sum(axis=0)
        first += len(batch)
    mean = total / max(int(words.sum()), 1)
    return lambda: (unit_rows(batch) - mean for batch in entries.batches())


def _rows_of(embeddings: Embeddings, wanted: npt.NDArray[np.bool_]) -> Matrix:
    first, found = 0, []
    for batch in embeddings.batches():
        found.append(batch[wanted[first : first + len(batch)]])
        first += len(batch)
    return np.concatenate(found)

"""What the student's rows are fitted to: the token shares of texts, the teacher's embeddings, and a start."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy import sparse

from distill_pipeline.errors import RecipeError
from distill_pipeline.fitting.parallel import ROWS_AT_ONCE, for_each, in_order, project, slices
from distill_pipeline.fitting.pca import PrincipalComponents, cached_components, count_directions
from distill_pipeline.fitting.settings import FitSettings
from distill_pipeline.fitting.shares import Matrix, TokenShares, token_shares
from distill_pipeline.fitting.start import fit_start, weight_curves
from distill_pipeline.fitting.weightings import row_weights
from distill_pipeline.store.embeddings import Embeddings, unit_rows
from distill_pipeline.store.mapped import mapped
from distill_pipeline.vocabulary.vocabulary import Vocabulary
from distill_pipeline.vocabulary.words import entry_groups

HELD_OUT_EVERY = 20
MAX_HELD_OUT = 2000
_TEXTS_AT_ONCE = 16_384
MAX_START_TEXTS = 25_000
"""The start has few parameters: more texts cost time and change next to nothing."""


@dataclass(frozen=True)
class TextEmbeddings:
    """The teacher's embeddings of texts, which lie in groups of one kind, one group after the other."""

    embeddings: Embeddings
    group_sizes: Sequence[int]

    def centred(self, axes: npt.NDArray[np.float64] | None = None, *, folder: Path | None = None) -> Matrix:
        """Return the unit embeddings, on the axes if given, less their group's mean: float32 (texts, dims).

        They lie in a nameless file in the folder and are mapped into memory.
        """

        def unit(batch: npt.NDArray[np.float32]) -> Matrix:
            units = unit_rows(batch).astype(np.float32)
            return units if axes is None else units @ axes.astype(np.float32)

        dimensions = self.embeddings.dimensions if axes is None else axes.shape[1]
        with TemporaryFile(dir=folder) as file:
            for block in in_order(unit, self.embeddings.batches()):
                file.write(np.ascontiguousarray(block).data)
            rows: Matrix = mapped(file, np.float32).reshape(-1, dimensions)
        ends = np.cumsum(self.group_sizes)
        for group in map(slice, ends - self.group_sizes, ends):
            blocks = [rows[group][block] for block in slices(group.stop - group.start, _TEXTS_AT_ONCE)]
            mean = sum(block.sum(axis=0, dtype=np.float64) for block in blocks) / (group.stop - group.start)
            for block in blocks:
                np.subtract(block, mean, out=block, casting="same_kind")
        return rows

    def texts(self) -> Iterator[list[str]]:
        """Yield the texts in order, many at a time."""
        for path in self.embeddings.paths:
            for batch in pq.ParquetFile(path).iter_batches(_TEXTS_AT_ONCE, columns=["text"]):
                yield batch.column(0).to_pylist()


@dataclass(frozen=True)
class Problem:
    """What the rows are fitted to.

    Attributes:
        groups: int8 (entries,), from `entry_groups`.
        shares: Of the texts.
        importance: float32 (texts,), the weight of each text's squared error.
        targets: float32 (texts, dims), centred.
        start: float32 (entries, dims).
        weights: float32 (entries,), those in the start.
        embeddings: The teacher's, of the texts.
    """

    groups: npt.NDArray[np.int8]
    shares: TokenShares
    importance: Matrix
    targets: Matrix
    start: Matrix
    weights: Matrix
    embeddings: Embeddings

    @cached_property
    def held_out(self) -> npt.NDArray[np.bool_]:
        """The texts on which agreement is measured, (texts,)."""
        return hold_out(self.shares.shape[0])

    @cached_property
    def teacher(self) -> Matrix:
        """The teacher's embeddings of the held-out texts, float32 (held-out texts, teacher dims)."""
        return np.concatenate([batch[self.held_out[texts]] for texts, batch in self.embeddings.placed_batches()])


def fit_directions(texts: TextEmbeddings, settings: FitSettings) -> tuple[PrincipalComponents, int]:
    """Return the directions to fit on, and how many of the student's own to keep in the end.

    The fit uses up to twice as many directions as are kept: which of them matter to the student shows in its own
    vectors afterwards.
    """
    components = cached_components(texts.embeddings, "auto")
    keep = count_directions(settings.pca_dims, components)
    return replace(components, axes=components.axes[:, : 2 * keep]), keep


def build_problem(
    vocabulary: Vocabulary,
    entries: Embeddings,
    texts: TextEmbeddings,
    components: PrincipalComponents,
    settings: FitSettings,
    *,
    folder: Path | None = None,
) -> Problem:
    """Return what the rows are fitted to.

    `entries` are the teacher's embeddings of the vocabulary's entries, `components` come from `fit_directions`. What
    grows with the texts lies in nameless files in the folder.

    Raises:
        RecipeError: The texts hold none of the vocabulary's entries.
    """
    groups = entry_groups(vocabulary.tokenizer)
    blocks = (token_shares(vocabulary.tokenizer, block, counted=groups >= 0) for block in texts.texts())
    shares = TokenShares.of(blocks, folder)
    if not any(len(part.entries) for part in shares.parts):
        raise RecipeError("the vocabulary holds no token of the refinement's texts; are both of one language?")
    targets = texts.centred(components.axes, folder=folder)
    rows = _centred_entries(entries, groups)
    importance = text_importance(texts.group_sizes, balanced=settings.balanced)
    if settings.weighting == "fitted":
        step = -(-shares.shape[0] // MAX_START_TEXTS)
        sample = np.arange(step // 2, shares.shape[0], step)
        start, weights = fit_start(
            rows,
            components.axes,
            weight_curves(vocabulary.frequencies, groups),
            *apply_importance(shares.select(sample), targets[sample], importance[sample]),
        )
    else:
        weights = row_weights(settings.weighting, vocabulary.frequencies, groups).astype(np.float32)
        weights[groups < 0] = 0
        start = project(rows, components.axes.astype(np.float32)) * weights[:, None]
        start *= np.float32(_best_scale(shares, targets, start))
    return Problem(groups, shares, importance, targets, start, weights, texts.embeddings)


def hold_out(texts: int) -> npt.NDArray[np.bool_]:
    """Choose the texts on which agreement is measured, (texts,): evenly spread over all kinds, 2,000 at most.

    They are every twentieth, more of few.
    """
    held_out = np.zeros(texts, dtype=bool)
    held_out[:: max(4, min(texts // 500, HELD_OUT_EVERY), -(-texts // MAX_HELD_OUT))] = True
    return held_out


def text_importance(group_sizes: Sequence[int], *, balanced: bool) -> Matrix:
    """Return the weight of each text's squared error, float32 (texts,): 1, or balanced between the groups.

    Balanced, all further groups together count as much as the first, but none of their texts less than one of its.
    """
    importance = np.ones(sum(group_sizes), dtype=np.float32)
    if balanced and len(group_sizes) > 1:
        importance[group_sizes[0] :] = max(1.0, group_sizes[0] / sum(group_sizes[1:]))
    return importance


def _best_scale(shares: TokenShares, targets: Matrix, rows: Matrix) -> float:
    """Return the factor of the rows that brings their means closest to the targets."""

    def products(texts: slice, means: Matrix) -> tuple[float, float]:
        return float(np.vdot(means, targets[texts])), float(np.vdot(means, means))

    against, own = map(sum, zip(*shares.over_means(rows, products), strict=True))
    return against / max(own, 1e-12)


def apply_importance(
    shares: sparse.csr_matrix, targets: Matrix, importance: Matrix
) -> tuple[sparse.csr_matrix, Matrix]:
    """Return shares and targets whose ordinary least squares problem is the one weighted by importance."""
    roots = np.sqrt(importance)
    return (sparse.diags_array(roots) @ shares).tocsr(), targets * roots[:, None]


def _centred_entries(entries: Embeddings, groups: npt.NDArray[np.int8]) -> Matrix:
    """Return the entries at unit length, centred on the mean of the words: float32 (entries, teacher dims)."""
    rows, words = np.empty((entries.rows, entries.dimensions), dtype=np.float32), groups == 0

    def place(block: tuple[slice, Matrix]) -> npt.NDArray[np.float64]:
        some = rows[block[0]]
        some[:] = unit_rows(block[1])
        total: npt.NDArray[np.float64] = some[words[block[0]]].sum(axis=0, dtype=np.float64)
        return total

    mean = sum(in_order(place, entries.placed_batches())) / max(int(words.sum()), 1)

    def centre(block: slice) -> None:
        rows[block] -= mean

    for_each(centre, slices(len(rows), ROWS_AT_ONCE))
    return rows

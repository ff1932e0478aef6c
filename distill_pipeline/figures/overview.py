"""The numbers that pictures of a vocabulary and its rows show. Draws nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from distill_pipeline.store.embeddings import unit_rows
from distill_pipeline.vocabulary.vocabulary import Vocabulary
from distill_pipeline.vocabulary.words import entry_groups, readable_tokens

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ENTRY_GROUPS = {0: "words", 1: "pieces within words", 2: "numbers and marks"}
"""Labels of the groups that `entry_groups` returns."""


@dataclass(frozen=True)
class Ranking:
    """A vocabulary by frequency.

    Attributes:
        ranks: (entries,), 1 the most frequent; 0 for special tokens, which don't occur in text.
        groups: (entries,), see `ENTRY_GROUPS`; -1 for special tokens.
        texts: Each entry without its tokenizer's marks; empty for special tokens.
    """

    ranks: Integers
    groups: npt.NDArray[np.int8]
    texts: Sequence[str]

    @property
    def entries(self) -> int:
        """Number of entries with a rank."""
        return int(self.ranks.max())

    def words(self, count: int) -> Integers:
        """Return the rows of the most frequent words of more than one letter, most frequent first."""
        rows = np.argsort(self.ranks, kind="stable")
        is_word = np.array([kind == 0 and len(text) > 1 for kind, text in zip(self.groups, self.texts, strict=True)])
        found: dict[str, int] = {}
        for row in rows[is_word[rows]]:  # a cased tokenizer has a word in several spellings
            found.setdefault(self.texts[row].lower(), int(row))
            if len(found) == count:
                break
        return np.array(list(found.values()), dtype=np.int64)


@lru_cache(maxsize=1)
def rank_entries(vocabulary: Vocabulary) -> Ranking:
    """Rank a vocabulary's entries by frequency, equal ones by row; cached for several pictures of it."""
    groups = entry_groups(vocabulary.tokenizer)
    ordinary = groups >= 0
    ranks = np.zeros(len(groups), dtype=np.int64)
    order = np.argsort(-vocabulary.frequencies, kind="stable")
    order = order[ordinary[order]]
    ranks[order] = np.arange(1, len(order) + 1)
    texts = [""] * len(groups)
    special = frozenset(vocabulary.tokens[row] for row in np.flatnonzero(~ordinary))
    for row, text, _ in readable_tokens(vocabulary.tokenizer, special):
        texts[row] = text
    return Ranking(ranks, groups, texts)


def sample_by_rank(ranking: Ranking, group: int, max_rows: int) -> Integers:
    """Return rows of at most `max_rows` entries of a group, evenly spread over the logarithm of their order."""
    rows: Integers = np.flatnonzero(ranking.groups == group)
    if not len(rows):
        return rows
    by_rank = rows[np.argsort(ranking.ranks[rows], kind="stable")]
    sample: Integers = by_rank[np.unique(np.geomspace(1, len(rows), max_rows).astype(np.int64)) - 1]
    return sample


def words_to_label(ranking: Ranking) -> Integers:
    """Return rows of ten words, from the most frequent to the rarest in even steps of the rank's logarithm."""
    words = ranking.words(ranking.entries)
    if not len(words):
        return words
    wanted = np.geomspace(1, ranking.ranks[words[-1]], 10)
    places = np.searchsorted(ranking.ranks[words], wanted)
    found: Integers = words[np.unique(np.minimum(places, len(words) - 1))]
    return found


def row_norms(batches: Iterable[npt.NDArray[np.floating]]) -> Floats:
    """Return the norm of each row, (rows,), one batch in memory at a time."""
    squares = [np.einsum("ij,ij->i", batch, batch, dtype=np.float64) for batch in batches]
    norms: Floats = np.sqrt(np.concatenate(squares))
    return norms


def norm_percentiles(ranking: Ranking, norms: Floats, bins: int = 24) -> tuple[Floats, Floats]:
    """Return percentiles of norms over their median in bins of the rank's logarithm; zeros don't count.

    Returns:
        (bins,) each bin's mean rank; (3, bins) its 10th, 50th and 90th percentile. Empty bins are left out.
    """
    counted = (ranking.ranks > 0) & (norms > 0)
    ranks, values = ranking.ranks[counted], norms[counted] / np.median(norms[counted])
    edges = np.geomspace(1, ranking.entries + 1, bins + 1)
    number = np.digitize(ranks, edges)
    filled = np.unique(number)
    middles = [np.exp(np.log(ranks[number == n]).mean()) for n in filled]
    percentiles = [np.percentile(values[number == n], [10, 50, 90]) for n in filled]
    return np.array(middles), np.array(percentiles).T


def map_to_plane(rows: npt.NDArray[np.floating]) -> Floats:
    """Return places of rows in two dimensions, (rows, 2), similar ones close: t-SNE on cosines with a fixed seed.

    Van der Maaten and Hinton 2008, "Visualizing Data using t-SNE". Needs at least 8 rows.
    """
    from sklearn.manifold import TSNE

    layout = TSNE(metric="cosine", init="pca", perplexity=min(15, len(rows) / 4), max_iter=400, random_state=0)
    with threadpool_limits(limits=1):  # its sums depend on how many threads there are
        places: Floats = layout.fit_transform(unit_rows(rows)).astype(np.float64)
    return places

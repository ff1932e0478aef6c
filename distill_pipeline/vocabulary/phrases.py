"""Phrases of a corpus: pairs of words that stand together more often than by chance.

A mean of vectors loses which words stood next to each other; a phrase with its own vector keeps it.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt

from distill_pipeline.store.mapped import mapped
from distill_pipeline.vocabulary.spelling import Spelling
from distill_pipeline.vocabulary.words import WORD

MIN_OCCURRENCES = 10
"""Rarer phrases have too few texts to fit a vector to."""

_PAIRS_AT_ONCE = 1 << 23


def frequent_phrases(
    texts: Iterable[str], count: int, spelling: Spelling, folder: Path | None = None
) -> dict[str, float]:
    """Return at most `count` pairs of words, the most informative first, and each one's count per word of the texts.

    The measure is a pair's part of the mutual information of neighbouring words, n_ab log(n n_ab / (n_a n_b))
    (Church and Hanks 1990, "Word Association Norms, Mutual Information, and Lexicography", times the pair's count):
    high for "how many" and "New York", low for chance neighbours. `spelling` is the student's. In memory are the
    different words; the pairs lie in a nameless file in the folder.
    """
    normalizer = spelling.normalizer()
    words: Counter[str] = Counter()
    numbers: dict[str, int] = {}
    with TemporaryFile(dir=folder) as file:
        for text in texts:
            found = list(WORD.finditer(normalizer.normalize_str(text)))
            words.update(match.group() for match in found)
            pairs = (
                numbers.setdefault(first.group(), len(numbers)) << 32 | numbers.setdefault(second.group(), len(numbers))
                for first, second in pairwise(found)
                if second.start() - first.end() == 1 and second.string[first.end()] == " "
            )
            file.write(array("Q", pairs))
        counts = _frequent(mapped(file, np.uint64))
    total, names, scores, shares = words.total(), list(numbers), {}, {}
    for pair, together in counts:
        first, second = names[pair >> 32], names[pair & 0xFFFFFFFF]
        score = together * math.log(total * together / (words[first] * words[second]))
        if score > 0:
            scores[first, second], shares[first, second] = score, together / total
    best = sorted(scores, key=lambda pair: (-scores[pair], pair))
    return {" ".join(pair): shares[pair] for pair in best[:count]}


def _frequent(pairs: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Yield the pairs that occur often enough, and how often; they are sorted where they lie, and few are copied."""
    pairs.sort()
    first = 0
    while first < len(pairs):
        last = pairs[min(first + _PAIRS_AT_ONCE, len(pairs)) - 1]
        end = int(np.searchsorted(pairs, last, "right"))
        found, counts = np.unique(pairs[first:end], return_counts=True)
        often = counts >= MIN_OCCURRENCES
        yield from zip(found[often].tolist(), counts[often].tolist(), strict=True)
        first = end

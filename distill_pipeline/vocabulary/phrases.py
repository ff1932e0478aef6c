"""Phrases of a corpus: pairs of words that stand together more often than by chance.

A mean of vectors loses which words stood next to each other; a phrase with its own vector keeps it.
"""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from distill_pipeline.vocabulary.spelling import Spelling
from distill_pipeline.vocabulary.words import WORD

MIN_OCCURRENCES = 10
"""Rarer phrases have too few texts to fit a vector to."""


def frequent_phrases(texts: Iterable[str], count: int, spelling: Spelling) -> dict[str, float]:
    """Return at most `count` pairs of words, the most informative first, and each one's count per word of the texts.

    The measure is a pair's part of the mutual information of neighbouring words, n_ab log(n n_ab / (n_a n_b))
    (Church and Hanks 1990, "Word Association Norms, Mutual Information, and Lexicography", times the pair's count):
    high for "how many" and "New York", low for chance neighbours. `spelling` is the student's.
    """
    normalizer = spelling.normalizer()
    words: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for text in texts:
        found = list(WORD.finditer(normalizer.normalize_str(text)))
        words.update(match.group() for match in found)
        pairs.update(
            (first.group(), second.group())
            for first, second in pairwise(found)
            if second.start() - first.end() == 1 and second.string[first.end()] == " "
        )
    total = words.total()
    scores = {
        pair: together * math.log(total * together / (words[pair[0]] * words[pair[1]]))
        for pair, together in pairs.items()
        if together >= MIN_OCCURRENCES
    }
    best = sorted((pair for pair, score in scores.items() if score > 0), key=lambda pair: (-scores[pair], pair))
    return {" ".join(pair): pairs[pair] / total for pair in best[:count]}

"""Texts along English word pairs: each word is drawn among the words that often follow the one before it.

A first-order Markov chain (Shannon 1948, "A Mathematical Theory of Communication", section 3), interrupted often, so
that every frequent word occurs. The pairs are the 242,342 in the table that comes with symspellpy.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
from pyarrow import csv

from distill_pipeline.texts.generator import content_chances, draw_mark, draw_number, join_words
from distill_pipeline.vocabulary.frequencies import WordList

_PAIRS = "frequency_bigramdictionary_en_243_342.txt"
_FOLLOWING = 0.75
"""Share of the words that follow the one before, if the table has any that do."""
_FLATTENING = 0.75
"""Power of the pairs' counts: "of the" alone is one in seventy of all counted pairs."""
_COVERING = 0.5
"""Share of the other words that are taken from the frequent words in turn, so that each occurs."""
_BREAK = 0.25
_MARKS = ((",", 0.7), (" -", 0.1), (".", 0.1), (":", 0.05), (";", 0.05))
_ENDS = ((".", 0.5), ("?", 0.1), ("!", 0.03))


@dataclass(frozen=True)
class Followers:
    """Which words follow which; the followers of one word lie next to each other.

    Attributes:
        spans: For each word with followers, the places of the first and after the last of them.
        words: The followers, by place.
        cumulative: At each place, the sum of all chances up to it.
    """

    spans: Mapping[str, tuple[int, int]]
    words: Sequence[str]
    cumulative: Sequence[float]

    def draw(self, word: str, chance: float) -> str:
        """Return a follower of a word in `spans` for a uniform draw from 0 to 1."""
        first, end = self.spans[word]
        before = self.cumulative[first - 1] if first else 0.0
        height = before + chance * (self.cumulative[end - 1] - before)
        return self.words[bisect_right(self.cumulative, height, first, end - 1)]


def read_followers() -> Followers:
    """Return the table of pairs."""
    with as_file(files("symspellpy") / _PAIRS) as path:
        names = csv.ReadOptions(column_names=["first", "second", "count"])
        table = csv.read_csv(path, names, csv.ParseOptions(delimiter=" ", quote_char=False))
    table = table.sort_by([("first", "ascending"), ("second", "ascending")])
    chances = table["count"].to_numpy().astype(np.float64) ** _FLATTENING
    words, lengths = (column.to_pylist() for column in table["first"].value_counts().flatten())
    ends = np.cumsum(lengths).tolist()
    spans = dict(zip(words, zip([0, *ends], ends, strict=False), strict=True))
    return Followers(spans, table["second"].to_pylist(), np.cumsum(chances).tolist())


def generate_chains(words: WordList, count: int, *, seed: int, covered: int = 100_000) -> list[str]:
    """Return `count` English texts of 5 to 25 words, the same for the same arguments.

    Where no pair continues, words are drawn from the alphabetic ones; the `covered` most frequent are also put in by
    turns.
    """
    random = np.random.default_rng(seed)
    known = words.alphabetic
    cumulative = np.cumsum(content_chances(words)).tolist()
    turns = random.permutation(min(covered, len(known)))
    turn = 0
    table = read_followers()
    texts = []
    for length in random.integers(5, 26, count):
        chain: list[str] = []
        while len(chain) < length:
            if chain and chain[-1].lower() in table.spans and random.random() < _FOLLOWING:
                chain.append(table.draw(chain[-1].lower(), random.random()))
                continue
            if chain and random.random() < _BREAK:
                chain[-1] += draw_mark(random.random(), _MARKS)
            if len(turns) and random.random() < _COVERING:
                index = int(turns[turn % len(turns)])
                turn += 1
            else:
                index = bisect_right(cumulative, random.random(), hi=len(cumulative) - 1)
            chain.append(draw_number(random) if random.random() < 0.02 else words.words[known[index]])
        texts.append(join_words(random, chain, capitalised=0.7) + draw_mark(random.random(), _ENDS))
    return texts

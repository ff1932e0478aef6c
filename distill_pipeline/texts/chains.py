"""Texts along English word pairs: each word is drawn among those that often stand after the word before it.

A first-order Markov chain (Shannon 1948, "A Mathematical Theory of Communication", section 3), interrupted often, so
that every frequent word has its place too. The pairs are the table of 242,342 that symspellpy carries.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
from pyarrow import csv

from distill_pipeline.texts.generator import content_chances, draw_mark, draw_number
from distill_pipeline.vocabulary.frequencies import WordList

_PAIRS = "frequency_bigramdictionary_en_243_342.txt"
_FOLLOWING = 0.75
"""Share of the words that follow the one before, where the table knows any that do."""
_FLATTENING = 0.75
"""Power of the pairs' counts: "of the" alone is one in seventy of all that the table counts."""
_COVERING = 0.5
"""Share of the other words that are taken from the frequent words in turn, so that each occurs."""
_BREAK = 0.25
_MARKS = ((",", 0.7), (" -", 0.1), (".", 0.1), (":", 0.05), (";", 0.05))
_ENDS = ((".", 0.5), ("?", 0.1), ("!", 0.03))


@dataclass(frozen=True)
class Followers:
    """Which words follow which: those after one word lie next to each other.

    Attributes:
        spans: For each word that any follow, the place of the first of them and that after the last.
        words: Those that follow, by place.
        cumulative: float64, at each place the sum of all chances up to it.
    """

    spans: Mapping[str, tuple[int, int]]
    words: Sequence[str]
    cumulative: Sequence[float]

    def draw(self, word: str, chance: float) -> str:
        """Return one that follows a word of `spans`, for an even draw from 0 to 1."""
        first, end = self.spans[word]
        before = self.cumulative[first - 1] if first else 0.0
        height = before + chance * (self.cumulative[end - 1] - before)
        return self.words[bisect_right(self.cumulative, height, first, end - 1)]


def read_followers() -> Followers:
    """Read the table of pairs."""
    with as_file(files("symspellpy") / _PAIRS) as path:
        # Each line: first word, second word, count.
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

    Args:
        words: Those to draw from where no pair goes on; only those of letters alone.
        count: How many texts.
        seed: Of all draws.
        covered: How many of the most frequent words are put in by turns, in an order of their own.
    """
    random = np.random.default_rng(seed)
    known = words.alphabetic
    drawable = np.cumsum(content_chances(words)).tolist()
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
                index = bisect_right(drawable, random.random(), hi=len(drawable) - 1)
            chain.append(draw_number(random) if random.random() < 0.02 else words.words[known[index]])
        text = " ".join(chain)
        if random.random() < 0.7:
            text = text[0].upper() + text[1:]
        texts.append(text + draw_mark(random.random(), _ENDS))
    return texts

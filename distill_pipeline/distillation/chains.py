"""Texts along English word pairs: each word is drawn among those that often stand after the word before it.

A first-order Markov chain (Shannon 1948, "A Mathematical Theory of Communication", section 3), interrupted often, so
that every frequent word has its place too. The pairs are the table of 242,342 that symspellpy carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files

import numpy as np
import numpy.typing as npt

from distill_pipeline.distillation.frequencies import WordList
from distill_pipeline.distillation.generator import content_shares, number, pick

_PAIRS = "frequency_bigramdictionary_en_243_342.txt"
_FOLLOWING = 0.75
"""Share of the words that follow the one before, where the table knows any that do."""
_FLATTENING = 0.75
"""Power of the pairs' counts: "of the" is one in forty of all that the table counts."""
_COVERING = 0.5
"""Share of the other words that are taken from the frequent words in turn, so that each occurs."""
_BREAK = 0.25
_MARKS = ((",", 0.7), (" -", 0.1), (".", 0.1), (":", 0.05), (";", 0.05))
_ENDS = ((".", 0.5), ("?", 0.1), ("!", 0.03))

Followers = Mapping[str, tuple[list[str], npt.NDArray[np.float64]]]


def followers() -> Followers:
    """Return for each word those that may follow it, and their cumulative chances."""
    from symspellpy import SymSpell

    table = SymSpell()
    with as_file(files("symspellpy") / _PAIRS) as path:
        if not table.load_bigram_dictionary(path, term_index=0, count_index=2, encoding="utf-8-sig"):
            raise FileNotFoundError(path)
    pairs: dict[str, dict[str, int]] = {}
    for pair, count in table.bigrams.items():
        first, second = pair.split(" ")
        pairs.setdefault(first, {})[second] = count
    found = {}
    for first, counts in pairs.items():
        chances = np.fromiter(counts.values(), dtype=np.float64) ** _FLATTENING
        found[first] = (list(counts), np.cumsum(chances / chances.sum()))
    return found


def generate_chains(words: WordList, count: int, *, seed: int, covered: int = 100_000) -> list[str]:
    """Return `count` English texts of 5 to 25 words, the same for the same arguments.

    Args:
        words: Those to draw from where no pair goes on; only those of letters alone.
        count: How many texts.
        seed: Of all draws.
        covered: How many of the most frequent words are put in by turns, in an order of their own.
    """
    random = np.random.default_rng(seed)
    known = words.spelled
    drawable = np.cumsum(content_shares(words))
    turns = random.permutation(min(covered, len(known)))
    turn = 0
    table = followers()
    texts = []
    for length in random.integers(5, 26, count):
        chain: list[str] = []
        while len(chain) < length:
            if chain and chain[-1].lower() in table and random.random() < _FOLLOWING:
                likely, cumulative = table[chain[-1].lower()]
                chain.append(likely[_place(cumulative, random.random())])
                continue
            if chain and random.random() < _BREAK:
                chain[-1] += pick(random.random(), _MARKS)
            if len(turns) and random.random() < _COVERING:
                index = int(turns[turn % len(turns)])
                turn += 1
            else:
                index = _place(drawable, random.random())
            chain.append(number(random) if random.random() < 0.02 else words.words[known[index]])
        text = " ".join(chain)
        if random.random() < 0.7:
            text = text[0].upper() + text[1:]
        texts.append(text + pick(random.random(), _ENDS))
    return texts


def _place(cumulative: npt.NDArray[np.float64], chance: float) -> int:
    return min(int(np.searchsorted(cumulative, chance)), len(cumulative) - 1)  # the last sum may be a little below 1

"""Texts made of nothing but word frequencies, to show a teacher when no corpus is at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill_pipeline.texts.english_phrases import LINKS, OPENINGS, QUESTIONS
from distill_pipeline.vocabulary.frequencies import WordList

# Chance of each mark after a word that is not the last, in the proportions of running text.
_MARKS = ((",", 0.060), (":", 0.003), (";", 0.003), (" -", 0.010), (".", 0.009))
_BRACKETED, _QUOTED = 0.005, 0.005
_ENDS = ((".", 0.425), ("?", 0.04), ("!", 0.035))


@dataclass(frozen=True)
class Generator:
    """How generated texts look.

    Attributes:
        min_words, max_words: A text's length, evenly drawn.
        natural: Share of the words that are drawn by their frequency; the others by its power `flattening`, so that
            function words and rare words both occur.
        flattening: That power.
        numbers: Share of the words that are numbers.
        covered: How many of the most frequent words are each put in up to `coverings` extra times: as far as a third
            of the places goes.
    """

    min_words: int = 5
    max_words: int = 25
    natural: float = 0.5
    flattening: float = 0.5
    numbers: float = 0.02
    covered: int = 100_000
    coverings: int = 2


def generate_texts(words: WordList, count: int, *, seed: int, style: Generator | None = None) -> list[str]:
    """Return `count` texts, the same for the same arguments."""
    style = style or Generator()
    random = np.random.default_rng(seed)
    known = words.alphabetic
    shares = words.shares[known]
    lengths = random.integers(style.min_words, style.max_words + 1, count)
    drawn = _draw(random, shares, int(lengths.sum()), style)
    ends = np.cumsum(lengths)
    texts = []
    for end, length in zip(ends, lengths, strict=True):
        chosen = [words.words[known[index]] for index in drawn[end - length : end]]
        texts.append(_as_sentence(random, chosen, style))
    return texts


def generate_sentences(words: WordList, count: int, *, seed: int, covered: int = 100_000) -> list[str]:
    """Return `count` English texts in which short closed-class phrases stand between content words.

    They read a little like sentences and questions, which word bags don't, so that the teacher's view of questions,
    negations and prepositions reaches the student. The same for the same arguments.
    """
    random = np.random.default_rng(seed)
    known = words.alphabetic
    lengths = random.integers(2, 10, count)
    drawn = random.choice(len(known), int(lengths.sum()), p=content_chances(words))
    places = random.choice(len(drawn), min(len(drawn), covered, len(known)), replace=False)
    drawn[places] = random.permutation(min(covered, len(known)))[: len(places)]
    texts = []
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        texts.append(_framed(random, [words.words[known[index]] for index in drawn[end - length : end]]))
    return texts


_CONTENT_FLATTENING = 0.6
_ASKING = 0.5
"""Share of the sentence-like texts that are questions, as search queries often are."""
_FUNCTION_WORDS = 150


def content_chances(words: WordList) -> npt.NDArray[np.float64]:
    """Return the chance of each of the words of letters alone where a content word is wanted; sums to 1."""
    shares = words.shares[words.alphabetic] ** _CONTENT_FLATTENING
    shares[:_FUNCTION_WORDS] *= 0.3
    chances: npt.NDArray[np.float64] = shares / shares.sum()
    return chances


def _framed(random: np.random.Generator, words: list[str]) -> str:
    asks = random.random() < _ASKING
    begins = asks or random.random() < 0.8
    parts = [str(random.choice(QUESTIONS if asks else OPENINGS))] if begins else []
    for place, word in enumerate(words):
        last = place == len(words) - 1
        part = draw_number(random) if random.random() < 0.02 else word
        parts.append(part if last else part + draw_mark(random.random(), ((",", 0.06), (" -", 0.01))))
        if not last and random.random() < 0.62:
            parts.append(str(random.choice(LINKS)))
    text = " ".join(parts)
    if random.random() < 0.7:
        text = text[0].upper() + text[1:]
    return text + ("?" if asks else draw_mark(random.random(), ((".", 0.65), ("!", 0.03))))


def _draw(
    random: np.random.Generator, shares: npt.NDArray[np.float64], slots: int, style: Generator
) -> npt.NDArray[np.int64]:
    flat = shares**style.flattening
    natural = random.choice(len(shares), slots, p=shares / shares.sum())
    flattened = random.choice(len(shares), slots, p=flat / flat.sum())
    drawn = np.where(random.random(slots) < style.natural, natural, flattened)
    if style.coverings:
        coverings = [random.permutation(min(style.covered, len(shares))) for _ in range(style.coverings)]
        # Of few texts, too, most words are drawn by frequency.
        covered = np.concatenate(coverings)[: slots // 3]
        drawn[random.choice(slots, len(covered), replace=False)] = covered
    return drawn


def _as_sentence(random: np.random.Generator, words: list[str], style: Generator) -> str:
    chances = random.random((len(words), 2))
    parts = []
    for word, (numeric, mark) in zip(words, chances, strict=True):
        part = draw_number(random) if numeric < style.numbers else word
        parts.append(_marked(part, mark))
    parts[-1] = words[-1]
    text = " ".join(parts)
    if random.random() < 0.5:
        text = text[0].upper() + text[1:]
    return text + draw_mark(random.random(), _ENDS)


def _marked(word: str, chance: float) -> str:
    if chance < _BRACKETED:
        return f"({word})"
    if chance < _BRACKETED + _QUOTED:
        return f'"{word}"'
    return word + draw_mark(chance - _BRACKETED - _QUOTED, _MARKS)


def draw_mark(chance: float, choices: tuple[tuple[str, float], ...]) -> str:
    """Return the choice that a draw from 0 to 1 falls on, or nothing: the probabilities need not sum to 1."""
    for choice, probability in choices:
        if chance < probability:
            return choice
        chance -= probability
    return ""


def draw_number(random: np.random.Generator) -> str:
    """Draw a number as texts hold them: a small one, a year, a larger one, or one with a decimal."""
    kind = random.random()
    if kind < 0.35:
        return str(random.integers(0, 21))
    if kind < 0.6:
        return str(random.integers(1900, 2031))
    if kind < 0.85:
        return str(int(10 ** random.uniform(1, 4)))
    return f"{10 ** random.uniform(0, 3):.1f}"

"""Texts made of nothing but word frequencies, for the teacher to embed when there is no corpus."""

import numpy as np
import numpy.typing as npt
import regex

from distill_pipeline.texts.english_phrases import LINKS, OPENINGS, QUESTIONS
from distill_pipeline.vocabulary.frequencies import WordList
from distill_pipeline.vocabulary.spelling import UNSPACED

# Chance of each mark after a word that is not the last, in the proportions of running text.
_MARKS = ((",", 0.060), (":", 0.003), (";", 0.003), (" -", 0.010), (".", 0.009))
_BRACKETED, _QUOTED = 0.005, 0.005
_ENDS = ((".", 0.425), ("?", 0.04), ("!", 0.035))
_SPACE_WITHIN = regex.compile(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")
_NUMBERS = 0.02
"""Share of the words that are numbers."""
_NATURAL, _FLATTENING = 0.5, 0.5
"""Share of the words that are drawn by their frequency; the others by its square root, so that rare words occur too."""
_CONTENT_FLATTENING = 0.6
_FUNCTION_WORDS = 150
_QUESTIONS = 0.5
"""Share of the sentence-like texts that are questions, as search queries often are."""


def generate_texts(words: WordList, count: int, *, seed: int, covered: int = 100_000, coverings: int = 2) -> list[str]:
    """Return `count` bags of 5 to 25 words with punctuation, the same for the same arguments.

    The `covered` most frequent words are each put in up to `coverings` extra times, as far as a third of the places
    goes.
    """
    random = np.random.default_rng(seed)
    known = words.alphabetic
    lengths = random.integers(5, 26, count)
    drawn = _draw_words(random, words.shares[known], int(lengths.sum()), covered, coverings)
    texts = []
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        texts.append(_punctuated(random, [words.words[known[index]] for index in drawn[end - length : end]]))
    return texts


def _draw_words(
    random: np.random.Generator, shares: npt.NDArray[np.float64], places: int, covered: int, coverings: int
) -> npt.NDArray[np.int64]:
    flat = shares**_FLATTENING
    natural = random.choice(len(shares), places, p=shares / shares.sum())
    flattened = random.choice(len(shares), places, p=flat / flat.sum())
    drawn = np.where(random.random(places) < _NATURAL, natural, flattened)
    if coverings:
        extra = np.concatenate([random.permutation(min(covered, len(shares))) for _ in range(coverings)])
        extra = extra[: places // 3]  # so that most words of a few texts are drawn by frequency too
        drawn[random.choice(places, len(extra), replace=False)] = extra
    return drawn


def _punctuated(random: np.random.Generator, words: list[str]) -> str:
    parts = []
    for word, (numeric, mark) in zip(words, random.random((len(words), 2)), strict=True):
        parts.append(_marked(draw_number(random) if numeric < _NUMBERS else word, mark))
    parts[-1] = words[-1]
    return join_words(random, parts, capitalised=0.5) + draw_mark(random.random(), _ENDS)


def _marked(word: str, chance: float) -> str:
    if chance < _BRACKETED:
        return f"({word})"
    if chance < _BRACKETED + _QUOTED:
        return f'"{word}"'
    return word + draw_mark(chance - _BRACKETED - _QUOTED, _MARKS)


def generate_sentences(words: WordList, count: int, *, seed: int, covered: int = 100_000) -> list[str]:
    """Return `count` English texts in which short closed-class phrases stand between content words.

    They resemble sentences and questions, which bags of words don't, so the student also learns how the teacher
    embeds questions, negations and prepositions. The same for the same arguments.
    """
    random = np.random.default_rng(seed)
    known = words.alphabetic
    lengths = random.integers(2, 10, count)
    drawn = random.choice(len(known), int(lengths.sum()), p=content_chances(words))
    places = random.choice(len(drawn), min(len(drawn), covered, len(known)), replace=False)
    drawn[places] = random.permutation(min(covered, len(known)))[: len(places)]
    texts = []
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        texts.append(_linked(random, [words.words[known[index]] for index in drawn[end - length : end]]))
    return texts


def content_chances(words: WordList) -> npt.NDArray[np.float64]:
    """Return the chance of each alphabetic word to be drawn as a content word; sums to 1."""
    shares = words.shares[words.alphabetic] ** _CONTENT_FLATTENING
    shares[:_FUNCTION_WORDS] *= 0.3
    chances: npt.NDArray[np.float64] = shares / shares.sum()
    return chances


def _linked(random: np.random.Generator, words: list[str]) -> str:
    asks = random.random() < _QUESTIONS
    begins = asks or random.random() < 0.8
    parts = [str(random.choice(QUESTIONS if asks else OPENINGS))] if begins else []
    for place, word in enumerate(words):
        last = place == len(words) - 1
        part = draw_number(random) if random.random() < _NUMBERS else word
        parts.append(part if last else part + draw_mark(random.random(), ((",", 0.06), (" -", 0.01))))
        if not last and random.random() < 0.62:
            parts.append(str(random.choice(LINKS)))
    text = join_words(random, parts, capitalised=0.7)
    return text + ("?" if asks else draw_mark(random.random(), ((".", 0.65), ("!", 0.03))))


def join_words(random: np.random.Generator, words: list[str], *, capitalised: float) -> str:
    """Return the words as one text, whose first letter is capitalised with this probability."""
    text: str = _SPACE_WITHIN.sub("", " ".join(words))
    return text[0].upper() + text[1:] if random.random() < capitalised else text


def draw_mark(chance: float, marks: tuple[tuple[str, float], ...]) -> str:
    """Return the mark that a draw from 0 to 1 falls on, or nothing: the probabilities need not sum to 1."""
    for mark, probability in marks:
        if chance < probability:
            return mark
        chance -= probability
    return ""


def draw_number(random: np.random.Generator) -> str:
    """Draw a number as it occurs in texts: a small one, a year, a larger one, or one with a decimal."""
    kind = random.random()
    if kind < 0.35:
        return str(random.integers(0, 21))
    if kind < 0.6:
        return str(random.integers(1900, 2031))
    if kind < 0.85:
        return str(int(10 ** random.uniform(1, 4)))
    return f"{10 ** random.uniform(0, 3):.1f}"

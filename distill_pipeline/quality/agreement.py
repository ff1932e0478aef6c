"""What a student lost against its teacher, measured on texts that need no labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.languages import listed_language
from distill_pipeline.store.embeddings import unit_rows
from distill_pipeline.vocabulary.frequencies import UnknownLanguage, word_list
from distill_pipeline.vocabulary.words import ALL_LETTERS

NEIGHBOURS = 10
MIN_TEXTS, MAX_TEXTS = 3, 5_000

Encode = Callable[[Sequence[str]], npt.NDArray[np.floating]]


class EvaluationError(DistillError):
    """Texts on which nothing can be compared; the message says why."""


def choose_evaluation_texts(path: Path | None, language: str) -> tuple[list[str], str]:
    """Return texts for a student of this language, and what they are in words.

    They are those of the file if there is one; sentences on many subjects, in English; and in other languages texts
    generated from word frequencies, as far as `wordfreq` has them.

    Raises:
        EvaluationError: See `evaluation_texts`.
    """
    from distill_pipeline.texts.generator import Generator, generate_texts

    if path is not None:
        return evaluation_texts(path), f"texts of {path.name}"
    if language != "en" and listed_language(language) is not None:
        style = Generator(coverings=0)  # words by their frequency alone
        texts = generate_texts(word_list(language), _GENERATED_TEXTS, seed=_EVALUATION_SEED, style=style)
        return texts, f"texts generated from word frequencies ({language})"
    return evaluation_texts(), "English sentences on many subjects"


_GENERATED_TEXTS, _EVALUATION_SEED = 500, 20_261_126
"""No recipe is likely to have this seed, whose texts would then be those that its student was fitted to."""


def evaluation_texts(path: Path | None = None) -> list[str]:
    """Return the texts of a file, one a line, or the sentences on many subjects that this package brings along.

    Of more than `MAX_TEXTS`, as many spread evenly: all pairs of them are compared.

    Raises:
        EvaluationError: The file can't be read, isn't UTF-8, or holds fewer than three texts.
    """
    if path is not None:
        try:
            content = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise EvaluationError(f"evaluation_texts={path}: not UTF-8 text: {error}") from error
        except OSError as error:
            raise EvaluationError(f"evaluation_texts={path}: not readable: {error.strerror}") from error
        texts = [line.strip() for line in content.splitlines() if line.strip()]
        if len(texts) < MIN_TEXTS:
            raise EvaluationError(
                f"evaluation_texts={path}: {len(texts)} texts, one a line; at least {MIN_TEXTS} are needed"
            )
        if len(texts) > MAX_TEXTS:
            texts = [texts[place] for place in np.linspace(0, len(texts) - 1, MAX_TEXTS, dtype=np.int64)]
        return texts
    text = files("distill_pipeline").joinpath("data/evaluation_texts.txt").read_text(encoding="utf-8")
    return text.splitlines()


def compare(teacher: npt.NDArray[np.floating], student: npt.NDArray[np.floating]) -> dict[str, float]:
    """Compare two sets of embeddings of the same texts, (texts, dims) each, dims may differ.

    Returns:
        similarity_correlation: Spearman correlation of the cosine similarities of all pairs of texts; 0 where one
            side tells none apart.
        neighbour_overlap: Share of the teacher's 10 nearest texts that are among the student's 10.
        nearest_retrieved: Mean reciprocal rank, by the student, of the text that is nearest for the teacher.
    """
    from scipy.stats import spearmanr

    theirs, ours = _similarities(teacher), _similarities(student)
    upper = np.triu_indices(len(theirs), k=1)
    correlation = float(spearmanr(theirs[upper], ours[upper]).statistic)
    count = min(NEIGHBOURS, len(theirs) - 1)
    theirs_near, ours_near = (np.argpartition(-sides, count - 1, axis=1)[:, :count] for sides in (theirs, ours))
    shared = [len(set(a) & set(b)) for a, b in zip(theirs_near, ours_near, strict=True)]
    nearest = np.take_along_axis(ours, theirs.argmax(axis=1)[:, None], axis=1)
    # All that are not below it: a student that tells texts apart no better than by chance wins nothing by a tie.
    ranks = (~(ours < nearest)).sum(axis=1)
    return {
        "similarity_correlation": round(correlation, 6) if np.isfinite(correlation) else 0.0,
        "neighbour_overlap": round(float(np.mean(shared)) / count, 6),
        "nearest_retrieved": round(float(np.mean(1 / ranks)), 6),
    }


def _similarities(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    unit = unit_rows(rows)
    similarities: npt.NDArray[np.float64] = unit @ unit.T
    np.fill_diagonal(similarities, -np.inf)
    return similarities


def pair_similarities(
    teacher: npt.NDArray[np.floating], student: npt.NDArray[np.floating], most: int = 6000
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the cosine similarities of at most so many pairs of texts, spread over all pairs: (pairs,) each."""
    first, second = np.triu_indices(len(teacher), k=1)
    step = -(-len(first) // most)
    pairs = first[::step], second[::step]
    return _similarities(teacher)[pairs], _similarities(student)[pairs]


def frequent_words(language: str, count: int = 2000, skip: int = 200) -> list[str]:
    """Return a language's frequent words of more than one letter; none of a language that wordfreq lacks.

    Args:
        language: wordfreq's code.
        count: How many words.
        skip: The most frequent ones are mostly grammar, whose neighbours tell little.
    """
    try:
        words = word_list(language).words
    except UnknownLanguage:
        return []
    return list(islice((word for word in words[skip:] if len(word) > 1 and ALL_LETTERS.fullmatch(word)), count))


def texts_per_second(encode: Encode, texts: Sequence[str], seconds: float = 0.3) -> float:
    """Return how many texts a second this function encodes here, after one call to warm up."""
    encode(texts)
    started, passes = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        encode(texts)
        passes += 1
    return passes * len(texts) / (time.monotonic() - started)


def nearest_examples(
    texts: Sequence[str], teacher: npt.NDArray[np.floating], student: npt.NDArray[np.floating], examples: int = 8
) -> list[dict[str, Any]]:
    """Return, for a few texts spread over all, the nearest other text by teacher and by student."""
    theirs, ours = _similarities(teacher).argmax(axis=1), _similarities(student).argmax(axis=1)
    picks = range(0, len(texts), max(1, len(texts) // examples))
    return [{"text": texts[i], "teacher": texts[theirs[i]], "student": texts[ours[i]]} for i in list(picks)[:examples]]


def nearest_words(
    words: Sequence[str],
    teacher: npt.NDArray[np.floating],
    student: npt.NDArray[np.floating],
    examples: int = 8,
    neighbours: int = 4,
) -> list[dict[str, Any]]:
    """Return, for a few words spread over all, the nearest other words by teacher and by student, nearest first."""
    step = max(1, len(words) // examples)
    shown = list(range(step // 2, len(words), step))[:examples]
    theirs, ours = (np.argsort(-_similarities(rows)[shown], axis=1)[:, :neighbours] for rows in (teacher, student))
    return [
        {"word": words[row], "teacher": [words[j] for j in near], "student": [words[j] for j in near_student]}
        for row, near, near_student in zip(shown, theirs, ours, strict=True)
    ]


def weights_bytes(folder: Path) -> int:
    """Return the size of a model's weights in bytes, those of its modules' folders included."""
    weights = list(folder.rglob("*.safetensors")) or list(folder.rglob("*.bin"))
    return sum(path.stat().st_size for path in weights)

"""How far a student agrees with its teacher, measured on texts without labels."""

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
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.embeddings import unit_rows
from distill_pipeline.texts.corpus import held_out_passages
from distill_pipeline.texts.files import TextFileError, read_text_file
from distill_pipeline.texts.generator import generate_texts
from distill_pipeline.vocabulary.frequencies import word_list
from distill_pipeline.vocabulary.words import ALL_LETTERS

NEIGHBOURS = 10
MIN_TEXTS, MAX_TEXTS = 3, 5_000
_TIMED_SECONDS = 0.1
_PASSAGES, _MIN_PASSAGES = 500, 50
_GENERATED_TEXTS, _EVALUATION_SEED = 500, 20_261_126
"""A seed that recipes are unlikely to have: with it, a student would be fitted to the texts it is compared on."""

Rows = npt.NDArray[np.floating]
Encode = Callable[[Sequence[str]], Rows]


class EvaluationError(DistillError):
    """Texts on which nothing can be compared; the message says why."""


def choose_evaluation_texts(recipe: Recipe) -> tuple[list[str], str]:
    """Return texts to compare a recipe's student on, and a description of them.

    They are those of its file if it names one; else passages of its corpus that no fit reads, if there are enough; else
    English sentences; and in other languages that `wordfreq` lists, texts generated from word frequencies.

    Raises:
        EvaluationError: As `evaluation_texts` does; or there are no texts in this language.
        CorpusError: The corpus can't be read.
    """
    path, language = recipe.evaluation_texts, recipe.language
    if path is not None:
        return evaluation_texts(path), f"texts of {path.name}"
    english = _is_english(language)
    held_out = held_out_passages(recipe.corpus, _PASSAGES) if recipe.corpus else []
    if len(held_out) >= (_MIN_PASSAGES if english or listed_language(language) else MIN_TEXTS):
        return held_out, "passages of the corpus that the student was not fitted to"
    if english:
        return evaluation_texts(), "English sentences on many subjects"
    check_language(recipe)
    texts = generate_texts(word_list(language), _GENERATED_TEXTS, seed=_EVALUATION_SEED, coverings=0)
    fitted = recipe.refinement != "none" and recipe.resolved("generated_texts")
    alike = ", of the kind that the student was fitted to" if fitted else ""
    return texts, f"texts generated from word frequencies ({language}){alike}"


def check_language(recipe: Recipe) -> None:
    """Check that there can be texts to compare a recipe's student on: English ones tell nothing of another language.

    Raises:
        EvaluationError: It names neither texts nor a corpus, and wordfreq lists no words of its language.
    """
    if recipe.evaluation_texts or _is_english(recipe.language):
        return
    if listed_language(recipe.language) is None:  # asked last: it imports wordfreq
        raise EvaluationError(
            f"language={recipe.language}: there are no texts to compare on, since wordfreq has no words of it in its "
            "script: name a file of texts in this language, one a line, as evaluation_texts"
        )


def _is_english(language: str) -> bool:
    return language.partition("-")[0] == "en"


def evaluation_texts(path: Path | None = None) -> list[str]:
    """Return the texts of a file that are not empty, or the English sentences of this package.

    Of more than `MAX_TEXTS` texts, that many are taken, evenly spread: all pairs of them are compared.

    Raises:
        EvaluationError: The file can't be read, or holds fewer than three texts.
    """
    if path is None:
        own = files("distill_pipeline").joinpath("data/evaluation_texts.txt")
        return own.read_text(encoding="utf-8").splitlines()
    try:
        texts = [text.strip() for text in read_text_file(path) if text.strip()]
    except TextFileError as error:
        raise EvaluationError(f"evaluation_texts={error}") from error
    if len(texts) < MIN_TEXTS:
        raise EvaluationError(
            f"evaluation_texts={path}: {len(texts)} texts, one a line; at least {MIN_TEXTS} are needed"
        )
    if len(texts) > MAX_TEXTS:
        texts = [texts[place] for place in np.linspace(0, len(texts) - 1, MAX_TEXTS, dtype=np.int64)]
    return texts


def compare(teacher: Rows, student: Rows) -> dict[str, float]:
    """Compare two sets of embeddings of the same texts, (texts, dims) each, dims may differ.

    Returns:
        similarity_correlation: Spearman correlation of the cosine similarities of all pairs of texts; 0 if one side
            can't tell any pairs apart.
        neighbour_overlap: Share of the teacher's 10 nearest texts that are among the student's 10.
        nearest_retrieved: Mean reciprocal rank, by the student, of the text that is nearest for the teacher.
    """
    from scipy.stats import spearmanr

    teacher_cosines, student_cosines = _similarities(teacher), _similarities(student)
    upper = np.triu_indices(len(teacher), k=1)
    correlation = float(spearmanr(teacher_cosines[upper], student_cosines[upper]).statistic)
    count = min(NEIGHBOURS, len(teacher) - 1)
    teacher_near, student_near = (
        np.argpartition(-cosines, count - 1, axis=1)[:, :count] for cosines in (teacher_cosines, student_cosines)
    )
    shared = [len(set(a) & set(b)) for a, b in zip(teacher_near, student_near, strict=True)]
    nearest = np.take_along_axis(student_cosines, teacher_cosines.argmax(axis=1)[:, None], axis=1)
    # Ties and NaN count against the student: one that can't tell texts apart gains nothing.
    ranks = (~(student_cosines < nearest)).sum(axis=1)
    return {
        "similarity_correlation": round(correlation, 6) if np.isfinite(correlation) else 0.0,
        "neighbour_overlap": round(float(np.mean(shared)) / count, 6),
        "nearest_retrieved": round(float(np.mean(1 / ranks)), 6),
    }


def _similarities(rows: Rows) -> npt.NDArray[np.float64]:
    unit = unit_rows(rows)
    similarities: npt.NDArray[np.float64] = unit @ unit.T
    np.fill_diagonal(similarities, -np.inf)
    return similarities


def pair_similarities(
    teacher: Rows, student: Rows, max_pairs: int = 6000
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return both sides' cosine similarities of a sample of all pairs of texts: (pairs,) each."""
    first, second = np.triu_indices(len(teacher), k=1)
    step = -(-len(first) // max_pairs)
    pairs = first[::step], second[::step]
    return _similarities(teacher)[pairs], _similarities(student)[pairs]


def frequent_words(language: str, count: int = 2000) -> list[str]:
    """Return a language's frequent words of more than one letter; none of a language that wordfreq lacks."""
    words = word_list(language).words[200:]  # before them mostly grammar, whose neighbours tell little
    return list(islice((word for word in words if len(word) > 1 and ALL_LETTERS.fullmatch(word)), count))


def texts_per_second(encode: Encode, texts: Sequence[str]) -> float:
    """Return how many texts a second this function encodes here, after one call to warm up."""
    encode(texts)
    started, passes = time.monotonic(), 0
    while time.monotonic() - started < _TIMED_SECONDS:
        encode(texts)
        passes += 1
    return passes * len(texts) / (time.monotonic() - started)


def nearest_examples(texts: Sequence[str], teacher: Rows, student: Rows) -> list[dict[str, Any]]:
    """Return, for eight texts spread over all, the nearest other text by teacher and by student."""
    teacher_nearest, student_nearest = (_similarities(rows).argmax(axis=1) for rows in (teacher, student))
    shown = range(0, len(texts), max(1, len(texts) // 8))[:8]
    return [
        {"text": texts[i], "teacher": texts[teacher_nearest[i]], "student": texts[student_nearest[i]]} for i in shown
    ]


def nearest_words(
    words: Sequence[str], teacher: Rows, student: Rows, examples: int = 8, neighbours: int = 4
) -> list[dict[str, Any]]:
    """Return, for a few words spread over all, the nearest other words by teacher and by student, nearest first."""
    step = max(1, len(words) // examples)
    shown = list(range(step // 2, len(words), step))[:examples]
    teacher_near, student_near = (
        np.argsort(-_similarities(rows)[shown], axis=1)[:, :neighbours] for rows in (teacher, student)
    )
    return [
        {"word": words[row], "teacher": [words[i] for i in near], "student": [words[i] for i in near_student]}
        for row, near, near_student in zip(shown, teacher_near, student_near, strict=True)
    ]


def weights_bytes(folder: Path) -> int:
    """Return the size of a model's weights in bytes, with those in its modules' folders, without a projection's."""
    weights = [path for path in folder.rglob("*.safetensors") if "projection" not in path.name]
    weights = weights or list(folder.rglob("*.bin"))
    return sum(path.stat().st_size for path in weights)

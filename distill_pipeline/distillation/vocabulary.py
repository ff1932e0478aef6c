"""The student's vocabulary: its entries, what the teacher reads for each, and the student's tokenizer."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from distill_pipeline.distillation.weighting import zipf_probabilities
from distill_pipeline.recipe import RecipeError

SCHEMA = pa.schema(
    [
        ("row", pa.int32()),
        ("token", pa.string()),
        ("teacher_ids", pa.list_(pa.int32())),
        ("frequency", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Vocabulary:
    """The student's vocabulary in row order.

    Attributes:
        tokens: One entry per row, as the student's tokenizer spells it.
        teacher_ids: What the teacher reads for each entry, its special tokens and the prompt included.
        frequencies: Estimated share of each entry among all tokens of text, float64 (rows,); sums to 1.
        tokenizer: The student's tokenizer; entry `i` has id `i`.
    """

    tokens: list[str]
    teacher_ids: list[list[int]]
    frequencies: np.ndarray
    tokenizer: Tokenizer


def build_vocabulary(
    teacher_folder: Path,
    *,
    words: Sequence[str] = (),
    remove_pattern: str | None = None,
    words_as_text: bool = True,
    prompt: str | None = None,
) -> Vocabulary:
    """Take the teacher's tokens, without those that match the pattern, and add the words.

    The tokenizer surgery is model2vec's own (`model2vec.tokenizer`, on skeletoken), so that a student has the
    rows that `model2vec.distill` gives it.

    Args:
        teacher_folder: The teacher's files; its tokenizer is loaded from them as transformers does, since
            `tokenizer.json` alone names no padding token.
        words: Words or phrases to add to the teacher's tokens.
        remove_pattern: Regular expression; tokens whose beginning matches are left out.
        words_as_text: Give an added word to the teacher as text after a space, as it stands within a
            sentence. Otherwise as its spelling in the vocabulary: a byte-level BPE teacher then sees, for
            pineapple, the text "Ġpineapple".
        prompt: Text that the teacher reads before each entry.

    Raises:
        RecipeError: The pattern removes every token.
    """
    from model2vec.tokenizer import clean_and_create_vocabulary
    from skeletoken import TokenizerModel
    from transformers import AutoTokenizer

    # They list each token that an added word or a removed one touches; thousands of lines on a large vocabulary.
    for library in ("skeletoken", "model2vec"):
        logging.getLogger(library).setLevel(logging.ERROR)
    transformers_tokenizer = AutoTokenizer.from_pretrained(teacher_folder, use_fast=True, local_files_only=True)
    teacher_tokenizer = transformers_tokenizer.backend_tokenizer
    full = TokenizerModel.from_transformers_tokenizer(transformers_tokenizer)
    pruned = full.prune_added_tokens()
    student = pruned.deep_copy()
    if student.adds_prefix_space is not None:
        student.adds_prefix_space = True
    regex = re.compile(remove_pattern) if remove_pattern is not None else None
    student = clean_and_create_vocabulary(student, list(words), token_remove_regex=regex)
    tokens: list[str] = student.sorted_vocabulary
    if set(tokens) <= {token.content for token in student.added_tokens.root}:  # unknown and padding always stay
        raise RecipeError(f"token_remove_pattern={remove_pattern!r} removes every token; choose a narrower one")

    before, after = _frame(full, teacher_tokenizer, prompt)
    original_ids = pruned.vocabulary
    to_full = pruned.model_delta.token_mapping  # new id -> the teacher's id
    known = {token: to_full.get(new, new) for token, new in original_ids.items()}
    added = {student.vocabulary[key]: word for word in words if (key := _entry_of(student, word)) is not None}
    teacher_ids = []
    for row, token in enumerate(tokens):
        if token in known:
            inner = [known[token]]
        else:
            text = f" {added.get(row, token)}" if words_as_text else token
            inner = teacher_tokenizer.encode(text, add_special_tokens=False).ids
        teacher_ids.append([*before, *inner, *after])
    return Vocabulary(tokens, teacher_ids, zipf_probabilities(len(tokens)), student.to_tokenizer())


def _entry_of(student: object, word: str) -> str | None:
    """Return the entry that an added word got in the student's vocabulary, or None when it got none."""
    vocabulary, preprocessor = student.vocabulary, student.preprocessor  # type: ignore[attr-defined]
    pieces = preprocessor.preprocess(word, had_initial_subword_prefix=True)
    candidates = [*pieces, word.strip()] if len(pieces) == 1 else [word.strip()]
    if preprocessor.normalizer:
        candidates.append(preprocessor.normalizer.normalize_str(word).strip())
    return next((entry for entry in candidates if entry in vocabulary), None)


def _frame(full: object, tokenizer: Tokenizer, prompt: str | None) -> tuple[list[int], list[int]]:
    """Return the ids that the teacher reads before and after each entry."""
    before: list[int] = list(full.bos_ids or [])  # type: ignore[attr-defined]
    after: list[int] = list(full.eos_ids or [])  # type: ignore[attr-defined]
    if prompt:
        before += tokenizer.encode(prompt.rstrip(), add_special_tokens=False).ids
    return before, after


def read_words(vocabulary: str | Path | Sequence[str]) -> list[str]:
    """Return the words of a recipe's `vocabulary`: none for "teacher", a file's lines, or the list itself."""
    if vocabulary == "teacher":
        return []
    lines = vocabulary.read_text(encoding="utf-8").splitlines() if isinstance(vocabulary, Path) else vocabulary
    return [line.strip() for line in lines if line.strip()]


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Write `vocabulary.parquet` and `tokenizer.json`."""
    table = pa.table(
        {
            "row": np.arange(len(vocabulary.tokens), dtype=np.int32),
            "token": vocabulary.tokens,
            "teacher_ids": vocabulary.teacher_ids,
            "frequency": vocabulary.frequencies,
        },
        schema=SCHEMA,
    )
    pq.write_table(table, folder / "vocabulary.parquet")
    vocabulary.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read what `write_vocabulary` wrote."""
    table = pq.read_table(folder / "vocabulary.parquet", schema=SCHEMA)
    return Vocabulary(
        table["token"].to_pylist(),
        table["teacher_ids"].to_pylist(),
        table["frequency"].to_numpy(),
        Tokenizer.from_file(str(folder / "tokenizer.json")),
    )

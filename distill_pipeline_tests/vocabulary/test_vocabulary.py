"""What the teacher reads for each entry, and the student's tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from distill_pipeline.vocabulary.vocabulary import build_vocabulary, read_vocabulary, write_vocabulary


def _ids(folder: Path, text: str) -> list[int]:
    ids: list[int] = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    return ids


@pytest.mark.parametrize("word", ["pineapple", "café", "ice cream"])
def test_a_byte_level_teacher_reads_a_word_as_it_stands_in_a_sentence(modernbert: Path, word: str) -> None:
    vocabulary = build_vocabulary(modernbert, words=[word])
    assert _ids(modernbert, f" {word}") in vocabulary.teacher_ids


def test_a_word_becomes_one_entry_of_the_students_tokenizer(bert: Path) -> None:
    vocabulary = build_vocabulary(bert, words=["pineapple"])
    encoded = vocabulary.tokenizer.encode("Pineapple", add_special_tokens=False)
    assert encoded.tokens == ["pineapple"]
    assert vocabulary.tokens[encoded.ids[0]] == "pineapple"


def test_the_prompt_is_read_before_each_entry(bert: Path) -> None:
    vocabulary = build_vocabulary(bert, prompt="the owl: ")
    start = _ids(bert, "the owl:")[:-1]
    assert all(ids[: len(start)] == start for ids in vocabulary.teacher_ids)


def test_removed_tokens_have_no_row(bert: Path) -> None:
    tokens = build_vocabulary(bert).tokens
    assert not [token for token in tokens if token.startswith("[unused")]


def test_a_written_vocabulary_reads_back_equal(tmp_path: Path, modernbert: Path) -> None:
    vocabulary = build_vocabulary(modernbert, words=["pineapple"])
    write_vocabulary(tmp_path, vocabulary)
    again = read_vocabulary(tmp_path)
    assert (again.tokens, again.teacher_ids) == (vocabulary.tokens, vocabulary.teacher_ids)
    assert (again.frequencies == vocabulary.frequencies).all()
    assert again.tokenizer.to_str() == vocabulary.tokenizer.to_str()


def test_a_vocabulary_is_read_once_until_it_is_written_again(tmp_path: Path, bert: Path) -> None:
    write_vocabulary(tmp_path, build_vocabulary(bert, words=["pineapple"]))
    first = read_vocabulary(tmp_path)
    assert read_vocabulary(tmp_path) is first
    write_vocabulary(tmp_path, build_vocabulary(bert, words=["saltcellar"]))
    again = read_vocabulary(tmp_path)
    assert "pineapple" in first.tokens
    assert "pineapple" not in again.tokens
    assert again.tokenizer.token_to_id("saltcellar") is not None

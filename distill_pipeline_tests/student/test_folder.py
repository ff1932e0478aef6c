"""Golden vectors, truncation and agreement of the two runtimes for every dtype."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from distill_pipeline.student.folder import (
    TOLERANCES,
    StudentError,
    read_golden,
    reference_vectors,
    verify_golden,
    write_student,
)


@pytest.fixture
def student(tmp_path: Path, bert: Path, request: pytest.FixtureRequest) -> Path:
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    rows = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 6)).astype(np.float32)
    rows[tokenizer.token_to_id("[UNK]")] = 0  # sentence_transformers counts it, model2vec leaves it out
    dtype = getattr(request, "param", "float16")
    write_student(tmp_path, tokenizer, rows, dtype=dtype, config={}, texts=["The owl hunts mice."])
    return tmp_path


@pytest.mark.parametrize("student", ["float16", "float32", "int8"], indirect=True)
def test_both_runtimes_give_the_golden_vectors(student: Path) -> None:
    from model2vec import StaticModel
    from sentence_transformers import SentenceTransformer

    difference = verify_golden(student)
    dtype = StaticModel.from_pretrained(student).embedding.dtype.name
    assert difference <= TOLERANCES[dtype]
    texts, golden = read_golden(student)
    # In float16 sentence_transformers 6.2 divides zero by zero for a text without tokens.
    found = SentenceTransformer(str(student), device="cpu").float().encode(texts)
    np.testing.assert_allclose(found, golden, atol=TOLERANCES[dtype])


def test_short_rows_keep_their_direction_in_int8_beside_long_ones(tmp_path: Path, bert: Path) -> None:
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    rows = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 6)).astype(np.float32)
    rows[::2] /= 500  # one scale for all would make them zeros
    texts = ["owl", "mice", "the owl", "The owl hunts mice."]
    write_student(tmp_path, tokenizer, rows, dtype="int8", config={}, texts=texts)
    assert verify_golden(tmp_path) <= TOLERANCES["int8"]
    vectors = reference_vectors(tokenizer, rows, texts)
    np.testing.assert_array_equal(read_golden(tmp_path)[1][: len(texts)], vectors)  # of the rows before the conversion


def test_a_changed_matrix_is_noticed(student: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(student / "model.safetensors")
    save_file({"embeddings": tensors["embeddings"][::-1].copy()}, student / "model.safetensors")
    with pytest.raises(StudentError, match="golden"):
        verify_golden(student)


def test_rows_too_small_for_float16_are_told_with_what_to_do(tmp_path: Path, bert: Path) -> None:
    tokenizer = Tokenizer.from_file(str(bert / "tokenizer.json"))
    rows = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 6)).astype(np.float32) * 1e-6
    for dtype in ("float16", "float32"):
        write_student(tmp_path, tokenizer, rows, dtype=dtype, config={}, texts=["The owl hunts mice."])
        if dtype == "float16":
            with pytest.raises(StudentError, match=r"golden text '.+' differs by .* dtype: float32 keeps"):
                verify_golden(tmp_path)
        else:
            assert verify_golden(tmp_path) < 2e-3


def test_golden_texts_have_the_edge_cases(student: Path) -> None:
    texts, golden = read_golden(student)
    assert "" in texts
    assert not golden[texts.index("")].any()
    longest = max(texts, key=len).split()
    assert longest[:512] == ["a"] * 512
    assert "b" in longest[512:]


def test_a_long_text_counts_by_its_first_512_tokens_alone(student: Path) -> None:
    tokenizer = Tokenizer.from_file(str(student / "tokenizer.json"))
    rows = np.random.default_rng(0).normal(size=(tokenizer.get_vocab_size(), 6))
    short, long = reference_vectors(tokenizer, rows, ["owl " * 512, "owl " * 512 + "mice " * 500])
    np.testing.assert_array_equal(short, long)

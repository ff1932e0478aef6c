"""Files of texts: read as what they are, or refused in one sentence that names them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.texts.files import MAX_LINE, TextFileError, read_text_file, read_words

TEXTS = ["a kite, red", 'she said "now"', "", "naïve ☃"]
LINES = "\n".join(TEXTS).encode()
JSON_LINES = "\n".join(json.dumps({"text": text, "n": 1}) for text in TEXTS).encode()
CSV = 'n,text\n1,"a kite, red"\n2,"she said ""now"""\n3,""\n4,naïve ☃\n'.encode()
TSV = "".join(f"{n}\t{text}\n" for n, text in [("n", "text"), *enumerate(TEXTS)]).encode()


def parquet(path: Path, values: pa.Array) -> Path:
    """Write a Parquet file with a column of these values."""
    pq.write_table(pa.table({"text": values}), path)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", LINES),
        ("a.log.GZ", gzip.compress(LINES[:9], mtime=0) + gzip.compress(LINES[9:], mtime=0)),
        ("a.bz2", bz2.compress(LINES)),
        ("a.txt.zst", pa.compress(LINES, codec="zstd", asbytes=True)),
        ("a.txt.xz", lzma.compress(LINES)),
        ("a.jsonl", JSON_LINES),
        ("a.JSONL.gz", gzip.compress(JSON_LINES, mtime=0)),
        ("a.ndjson", JSON_LINES.replace(b"\n", b"\n\n")),
        ("a.json", JSON_LINES),
        ("a.csv", CSV),
        ("a.CSV.xz", lzma.compress(CSV)),
        ("a.tsv", TSV),
        ("a.tsv.bz2", bz2.compress(TSV)),
    ],
)
def test_every_kind_of_file_gives_the_same_texts(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert list(read_text_file(tmp_path / name)) == TEXTS


@pytest.mark.parametrize(("kind", "content"), [("txt", LINES), ("jsonl", JSON_LINES), ("csv", CSV), ("tsv", TSV)])
def test_a_byte_order_mark_is_no_text(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / f"a.{kind}.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + content.replace(b"n,text", b"text,n")))
    expected = ["1", "2", "3", "4"] if kind == "csv" else TEXTS
    assert list(read_text_file(tmp_path / f"a.{kind}.gz")) == expected


@pytest.mark.parametrize(
    "values",
    [
        pa.array([text.encode() for text in TEXTS], pa.binary()),
        pa.array([text.encode() for text in TEXTS], pa.large_binary()),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS).dictionary_encode(),
        pa.array([text.encode() for text in TEXTS]).dictionary_encode(),
        pa.array([text or None for text in TEXTS]),
    ],
)
def test_text_in_any_of_parquets_forms_is_text(tmp_path: Path, values: pa.Array) -> None:
    assert list(read_text_file(parquet(tmp_path / "a.PARQUET", values))) == TEXTS


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([b"na\xefve"], pa.binary()), "not UTF-8 text"),
        (pa.array([["a", "b"]]), "column 'text' (list<element: string>) holds a value of type list, not text"),
        (pa.array([{"body": "a"}]), "holds a value of type dict, not text"),
        (pa.array([True]), "(bool) holds a value of type bool, not text"),
    ],
)
def test_values_that_are_no_text_are_refused_by_file_and_type(tmp_path: Path, values: pa.Array, said: str) -> None:
    path = parquet(tmp_path / "a.parquet", values)
    with pytest.raises(TextFileError) as refused:
        list(read_text_file(path))
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [("two \ud83d", "two ?"), (None, ""), (float("nan"), ""), (1984, "1984"), (["a"], None), ({}, None), (True, None)],
)
def test_values_in_json_are_text_or_refused_with_their_line(tmp_path: Path, value: Any, text: str | None) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "one"}}\n\n{json.dumps({"text": value})}\n')
    if text is not None:
        assert list(read_text_file(path)) == ["one", text]
        return
    with pytest.raises(TextFileError, match=f"a.jsonl:3: 'text' holds a value of type {type(value).__name__}"):
        list(read_text_file(path))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "naïve".encode("latin-1"), "not UTF-8"),
        ("a.txt", "naïve".encode("utf-16"), "not UTF-8"),
        ("a.txt", "naive".encode("utf-16-le"), "UTF-16"),
        ("a.tar", b"a/name" + bytes(500), "it is binary"),
        ("a.csv", "text\nnaïve\n".encode("latin-1"), "not UTF-8"),
        ("a.csv", "n,text\n1,x\n".encode("utf-16"), "a.csv: "),
        ("a.txt.gz", b"no gzip", "can't be read"),
        ("a.txt.gz", gzip.compress(LINES, mtime=0)[:-9], "can't be read"),
        ("a.txt.xz", b"no xz", "can't be read"),
        ("a.parquet", b"no parquet", "can't be read"),
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', "a.jsonl:2: no JSON object with a column 'text'"),
        ("a.json", b'[{"text": "x"}]', "each line has one object"),
        ("a.csv", b"n;text\n1;x\n", "no column 'text'; it has n;text"),
        ("a.csv", b"text,n\nx,1\ny,2,3\n", "Row #3: Expected 2 columns, got 3"),
        (
            "a.txt.gz",
            gzip.compress(b"x" * (MAX_LINE + 1), mtime=0),
            "a.txt.gz:1: a line of more than 16,777,216 characters",
        ),
        ("a.jsonl", b'{"text": "' + b"x" * MAX_LINE + b'"}', "a line of more than"),
        ("a.csv", b"text\n" + b"x" * 2 * MAX_LINE, "a row of more than"),
    ],
)
def test_a_file_that_is_not_what_it_seems_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TextFileError) as refused:
        list(read_text_file(tmp_path / name))
    assert said in str(refused.value)
    assert name in str(refused.value)


def test_a_file_of_lines_has_no_column(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x\n")
    with pytest.raises(TextFileError, match=r"it has lines and no columns; leave out the column 'body'"):
        list(read_text_file(tmp_path / "a.txt", "body"))


def test_words_come_from_a_list_or_a_file_with_or_without_a_mark(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("pineapple\n\n  ice cream \n", encoding="utf-8-sig")
    assert read_words(tmp_path / "words.txt") == ["pineapple", "ice cream"]
    assert read_words(["kiwi", " "]) == ["kiwi"]


def test_a_words_file_in_another_encoding_is_refused_before_any_stage(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes("Übung\n".encode("latin-1"))
    recipe = make_recipe(
        {"name": "a", "teacher": "MINILM_EMBEDDED", "words": "words.txt"}, source="test", base=tmp_path
    )
    with pytest.raises(TextFileError, match=r"words\.txt: not UTF-8"):
        stage_keys(recipe, {"files_sha256": "0"})

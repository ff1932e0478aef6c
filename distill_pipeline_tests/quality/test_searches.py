"""Static queries against the teacher's documents: the figures of a search among vectors that are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from distill_pipeline.quality.labelled import score_sets
from distill_pipeline.quality.searches import compare_search, score_and_keep, score_search
from distill_pipeline.store.embeddings import unit_rows

DOCUMENTS, QUERIES = 40, 6
VECTORS = np.random.default_rng(0).normal(size=(DOCUMENTS + QUERIES, 8)).astype(np.float32)


def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    return np.stack([VECTORS[int(text.removeprefix("text "))] for text in texts])


@pytest.fixture
def search(tmp_path: Path) -> str:
    names = [f"{number}\ttext {number}" for number in range(DOCUMENTS + QUERIES)]
    files = {
        "corpus": ["id\ttext", *names[:DOCUMENTS]],
        "queries": ["id\ttext", *names[DOCUMENTS:]],
        "qrels": ["qid\tdid\tscore", *(f"{DOCUMENTS + query}\t{query}\t1" for query in range(QUERIES))],
    }
    folder = tmp_path / "set"
    folder.mkdir()
    for name, lines in files.items():
        (folder / f"{name}.tsv").write_text("\n".join(lines))
    return f"retrieval:{folder}"


def test_the_teacher_s_own_queries_get_its_score_and_all_its_documents(search: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.parquet"
    [own] = score_and_keep(search, encode, kept)
    assert [own] == score_sets([search], encode)
    found = score_search(search, encode, kept, unit_rows)
    scores = {"score": own["score"], "error": own["error"]}
    assert found == {**scores, "query_cosine": 1.0, "documents_shared": 1.0}


def test_queries_that_look_elsewhere_find_other_documents(search: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.parquet"
    score_and_keep(search, encode, kept)
    found = score_search(search, lambda texts: -encode(texts), kept, unit_rows)
    assert found["query_cosine"] == -1
    assert found["documents_shared"] == 0


def test_documents_are_projected_before_they_are_compared(search: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.parquet"
    score_and_keep(search, encode, kept)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    found = score_search(search, lambda texts: encode(texts) @ turn, kept, lambda rows: unit_rows(rows) @ turn)
    assert found["documents_shared"] == 1
    assert found["query_cosine"] == pytest.approx(1)


def test_a_text_is_no_document_of_its_own() -> None:
    units = unit_rows(VECTORS)
    static = units + np.random.default_rng(2).normal(size=units.shape) * 0.2
    shared = compare_search(static, VECTORS, VECTORS, unit_rows)["documents_shared"]
    expected = []
    for row in range(len(units)):
        others = np.delete(np.arange(len(units)), row)
        wanted, found = (set(others[np.argsort(-(units[others] @ query))[:10]]) for query in (units[row], static[row]))
        expected.append(len(wanted & found) / 10)
    assert shared == pytest.approx(np.mean(expected), abs=1e-6)

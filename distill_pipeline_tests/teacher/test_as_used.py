"""A teacher's rows are those that sentence_transformers gives, for each family of tokenizer and each setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from distill_pipeline.store.embeddings import unit_rows
from distill_pipeline.teacher.encoding import sentence_ids
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline.teacher.teacher import load_teacher
from distill_pipeline.vocabulary.vocabulary import build_word_vocabulary
from distill_pipeline_tests.teachers import build_bert, build_modernbert, build_unigram

WORDS = ["garden", "Winter", "long road"]
TEXTS = ["The Garden is long.", "a winter road", "bread"]


@pytest.mark.parametrize("prompt", [None, "find this: "])
@pytest.mark.parametrize("setting", ["plain", "do_lower_case", "include_prompt"])
@pytest.mark.parametrize("build", [build_bert, build_modernbert, build_unigram])
def test_rows_of_entries_and_texts_are_the_librarys(
    build: Callable[[Path], Path], setting: str, prompt: str | None, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = build(tmp_path / "teacher")
    if setting == "do_lower_case":
        path, changed = folder / "sentence_bert_config.json", {"do_lower_case": True}
    else:
        path, changed = folder / "1_Pooling" / "config.json", {"include_prompt": setting == "plain"}
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    source = resolve_teacher(str(folder), None, known_commits=tmp_path / "teachers.json")
    teacher = load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False, prompt=prompt)
    library = SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def expected(texts: list[str]) -> npt.NDArray[np.floating]:
        return unit_rows(np.asarray(library.encode(texts, prompt=prompt or ""), dtype=np.float32))

    def nearest(rows: npt.NDArray[np.floating], texts: list[str]) -> float:
        return float((unit_rows(rows) * expected(texts)).sum(axis=1).min())

    assert nearest(teacher.rows(sentence_ids(folder, TEXTS, prompt=prompt)), TEXTS) > 0.9999
    assert nearest(teacher.encode(TEXTS, prompt), TEXTS) > 0.9999
    vocabulary = build_word_vocabulary(folder, count=20, words=WORDS, lowercase=False, prompt=prompt)
    rows = teacher.rows([vocabulary.teacher_ids[vocabulary.tokens.index(word)] for word in WORDS])
    # An entry is read as within a sentence, after a space, which a prompt ends with.
    assert nearest(rows, WORDS if prompt else [f" {word}" for word in WORDS]) > 0.999


def test_an_entry_longer_than_the_teacher_reads_is_cut(tmp_path: Path) -> None:
    folder = build_bert(tmp_path / "teacher")
    long = " ".join(["garden"] * 300)
    vocabulary = build_word_vocabulary(folder, count=20, words=[long])
    lengths = [len(ids) for ids in vocabulary.teacher_ids]
    assert max(lengths) == 128
    assert sentence_ids(folder, [long], prompt=None)[0] in vocabulary.teacher_ids

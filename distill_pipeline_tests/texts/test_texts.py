"""Texts for a refinement: generated ones, and passages of a corpus."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.quality.agreement import (
    EvaluationError,
    choose_evaluation_texts,
    compare,
    evaluation_texts,
    weights_bytes,
)
from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.languages import listed_language
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.provenance import without_paths
from distill_pipeline.texts.chains import generate_chains, read_followers
from distill_pipeline.texts.corpus import CorpusError, cut_passages, held_out_passages, recipe_passages, sample_passages
from distill_pipeline.texts.generator import generate_sentences, generate_texts
from distill_pipeline.vocabulary.frequencies import word_list

LINES = [f"sentence number {number} is about the owl and the moon" for number in range(200)]


def test_the_same_seed_generates_the_same_texts_and_another_seed_others() -> None:
    words = word_list("en")
    for make in (generate_texts, generate_sentences, generate_chains):
        first = make(words, 50, seed=1)
        assert first == make(words, 50, seed=1)
        assert first != make(words, 50, seed=2)
        assert len(first) == 50


def test_each_covered_word_occurs_in_the_generated_texts() -> None:
    words = word_list("en")
    texts = generate_texts(words, 400, seed=0, covered=500, coverings=2)
    counts = Counter(word.strip('(),.:;?!"-') for text in texts for word in text.lower().split())
    missing = [word for word in words.words[:500] if word.isalpha() and not counts[word]]
    assert len(missing) < 10  # a number or a last word may have taken a place


def test_chains_go_along_word_pairs_and_come_to_every_covered_word() -> None:
    table = read_followers()
    pairs = {f"{first} {second}" for first, span in table.spans.items() for second in table.words[slice(*span)]}
    assert len(pairs) == len(table.words) == 242_342
    assert {"of the", "united states", "how many"} <= pairs
    texts = [text.lower() for text in generate_chains(word_list("en"), 1000, seed=0, covered=2000)]
    spaced = [word for text in texts for word in text.split()]
    share = sum(f"{first} {second}" in pairs for first, second in pairwise(spaced)) / len(spaced)
    assert share > 0.4
    counts = Counter(word.strip(",.:;?!-") for word in spaced)
    missing = [word for word in word_list("en").words[:2000] if word.isalpha() and not counts[word]]
    assert len(missing) < 40  # numbers take the places of two in a hundred
    assert all(5 <= len(text.replace(" -", "").split()) <= 25 for text in texts)


def _write(folder: Path, kind: str) -> str:
    path = folder / f"texts.{kind}"
    if kind == "txt":
        path.write_text("\n".join(LINES))
    elif kind == "txt.gz":
        path.write_bytes(gzip.compress("\n".join(LINES).encode()))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps({"text": line, "id": 1}) for line in LINES))
    else:
        pq.write_table(pa.table({"text": LINES}), path)
    return str(path)


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_sample(tmp_path: Path, kind: str) -> None:
    sample = [*sample_passages([_write(tmp_path, kind)], 20, seed=0)]
    assert sample == list(sample_passages([_write(tmp_path, "txt")], 20, seed=0))
    assert len(set(sample)) == 20
    assert set(sample) <= set(LINES)


def test_a_sample_depends_on_neither_the_order_of_files_nor_on_repetitions(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(LINES[:120]))
    (tmp_path / "b.txt").write_text("\n".join(LINES[100:]))
    a, b = str(tmp_path / "a.txt"), str(tmp_path / "b.txt")
    assert [*sample_passages([a, b], 30, seed=0)] == [*sample_passages([b, a, b], 30, seed=0)]
    assert [*sample_passages([a, b], 30, seed=0)] != [*sample_passages([a, b], 30, seed=1)]
    sampled = sample_passages([str(tmp_path / "*.txt")], 1000, seed=0)
    assert sorted([*sampled, *held_out_passages([a, b], 1000)]) == sorted(LINES)


def test_long_texts_are_cut_at_the_ends_of_sentences() -> None:
    sentence = "The owl hunts mice at night and sleeps through the whole day."
    passages = list(cut_passages(iter([" ".join([sentence] * 20), "too short"])))
    assert all(3 <= len(passage.split()) <= 64 and passage.endswith("day.") for passage in passages)
    assert sum(passage.count("owl") for passage in passages) == 20


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.txt", "there is no such file"),
        ("/", "there is no such file"),
        ("texts.jsonl#title", "no JSON object with a column 'title'"),
        ("texts.txt#title", "it has lines and no columns; leave out the column 'title'"),
    ],
)
def test_an_unreadable_corpus_is_named(tmp_path: Path, name: str, said: str) -> None:
    _write(tmp_path, "jsonl")
    _write(tmp_path, "txt")
    with pytest.raises(CorpusError) as refused:
        sample_passages([str(tmp_path / name)], 5, seed=0)
    assert said in str(refused.value)
    # Known before any stage runs, too.
    fields = {"name": "a", "teacher": "MINILM_EMBEDDED", "refinement": "corpus", "corpus": name}
    with pytest.raises(CorpusError) as refused:
        stage_keys(make_recipe(fields, source="test", base=tmp_path), {"files_sha256": "0"})
    assert said in str(refused.value)


@pytest.mark.parametrize("source", ["a.txt", "*.txt", "b#1.txt", "**/*#1.txt", "c.jsonl#body", "d#1.jsonl#body"])
def test_signs_in_the_names_of_files_and_folders_are_no_patterns(tmp_path: Path, source: str) -> None:
    folder = tmp_path / "[12] C# *notes*"
    folder.mkdir()
    for name in ("a.txt", "b#1.txt"):
        (folder / name).write_text("\n".join(LINES))
    for name in ("c.jsonl", "d#1.jsonl"):
        (folder / name).write_text("\n".join(json.dumps({"body": line}) for line in LINES))
    fields = {"name": "a", "teacher": "MINILM_EMBEDDED", "refinement": "corpus", "corpus": source}
    recipe = make_recipe(fields, source="test", base=folder)
    assert {*sample_passages(recipe.corpus, 300, seed=0), *held_out_passages(recipe.corpus, 300)} == set(LINES)
    stage_keys(recipe, {"files_sha256": "0"})


def test_a_student_that_tells_no_texts_apart_agrees_not_at_all() -> None:
    teacher = np.random.default_rng(0).normal(size=(20, 4))
    assert compare(teacher, np.ones((20, 4)))["similarity_correlation"] == 0
    for student in (np.zeros((20, 4)), np.ones((20, 4))):
        assert compare(teacher, student)["nearest_retrieved"] < 0.1
    half = teacher * (np.arange(20) % 2)[:, None]
    assert compare(teacher, half)["nearest_retrieved"] < 0.6
    assert compare(teacher, teacher)["nearest_retrieved"] == 1


def test_few_texts_hold_frequent_words_too() -> None:
    words = " ".join(generate_texts(word_list("en"), 300, seed=0)).lower().split()
    frequent = set(word_list("en").words[:1000])
    assert sum(word in frequent for word in words) > len(words) / 5


def test_students_are_compared_on_texts_of_their_language(tmp_path: Path, recipe: Callable[..., Recipe]) -> None:
    assert choose_evaluation_texts(recipe()) == (evaluation_texts(), "English sentences on many subjects")
    german, described = choose_evaluation_texts(recipe(language="de"))
    assert described == "texts generated from word frequencies (de), of the kind that the student was fitted to"
    words = " ".join(german).lower().split()
    assert words.count("und") > words.count("and")
    described = choose_evaluation_texts(recipe(language="de", refinement="none"))[1]
    assert described == "texts generated from word frequencies (de)"
    (tmp_path / "mine.txt").write_text("one\ntwo\nthree\n")
    mine = recipe(language="de", evaluation_texts=str(tmp_path / "mine.txt"))
    assert choose_evaluation_texts(mine) == (["one", "two", "three"], "texts of mine.txt")


def test_a_student_of_a_language_without_a_word_list_is_not_measured_on_english(recipe: Callable[..., Recipe]) -> None:
    unlisted = recipe(language="ka", refinement="none")
    with pytest.raises(EvaluationError, match=r"language=ka: there are no texts to compare on.*as evaluation_texts"):
        stage_keys(unlisted, {})  # before any work


def test_what_a_corpus_holds_out_is_what_reports_compare_on_and_nothing_reads(
    tmp_path: Path, recipe: Callable[..., Recipe]
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(f"passage number {number} of a corpus" for number in range(4000)))
    fields = {"refinement": "corpus", "corpus": [str(corpus)], "generated_texts": 0}
    held_out, described = choose_evaluation_texts(recipe(**fields))
    assert described == "passages of the corpus that the student was not fitted to"
    assert 50 < len(held_out) < 120
    for own in ({}, {"seed": 1}, {"corpus_texts": 100}):
        assert not set(held_out) & set(recipe_passages(recipe(**fields, **own)))
    assert len(recipe_passages(recipe(**fields))) + len(held_out) == 4000
    # Of a few passages too few are held out to compare on.
    corpus.write_text("\n".join(f"passage number {number} of a corpus" for number in range(300)))
    assert choose_evaluation_texts(recipe(**fields))[0] == evaluation_texts()
    few = held_out_passages([str(corpus)], 500)
    assert 3 <= len(few) < 50
    assert choose_evaluation_texts(recipe(**fields, language="ka"))[0] == few


def test_the_size_of_a_model_counts_its_modules_and_pickled_weights(tmp_path: Path) -> None:
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "pytorch_model.bin").write_bytes(b"12345")
    assert weights_bytes(tmp_path) == 5
    for name in ("model.safetensors", "2_Dense/model.safetensors"):
        (tmp_path / name).write_bytes(b"123")
    assert weights_bytes(tmp_path) == 6


def test_evaluation_texts_are_enough_and_not_too_many(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one\n\ntwo\n")
    with pytest.raises(EvaluationError, match="2 texts, one a line; at least 3"):
        evaluation_texts(path)
    path.write_text("\n".join(map(str, range(12_000))))
    numbers = np.array(evaluation_texts(path), dtype=int)
    assert (len(numbers), numbers[0], numbers[-1]) == (5_000, 0, 11_999)
    assert set(np.diff(numbers)) == {2, 3}


def test_a_missing_parquet_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no column 'body'; it has text"):
        sample_passages([_write(tmp_path, "parquet") + "#body"], 5, seed=0)


def test_a_data_set_in_a_folder_is_read_as_a_stream(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    _write(tmp_path, "jsonl")
    assert set(sample_passages([f"dataset:{tmp_path}"], 20, seed=0)) <= set(LINES)
    with pytest.raises(CorpusError, match="no column 'body'"):
        sample_passages([f"dataset:{tmp_path}#body"], 20, seed=0)
    with pytest.raises(CorpusError, match="can't be read"):
        sample_passages([f"dataset:{tmp_path}:no-such-config:no-such-split"], 20, seed=0)


@pytest.mark.parametrize(
    ("source", "parsed"),
    [
        ("dataset:me/texts", Dataset("me/texts")),
        ("dataset:me/texts:en:test@v1#body", Dataset("me/texts", "en", "test", "v1", "body")),
        ("dataset:me/texts::test", Dataset("me/texts", "", "test")),
        ("dataset:./texts:en", Dataset("./texts", "en")),
        ("dataset:/C#/a@b/texts:en#body", Dataset("/C#/a@b/texts", "en", column="body")),
        ("texts.txt", None),
    ],
)
def test_a_data_set_s_name_says_which_part_of_it(source: str, parsed: Dataset | None) -> None:
    assert Dataset.parse(source) == parsed
    assert parsed is None or str(parsed) == source


def test_a_data_set_s_folder_counts_by_its_content_and_is_found_from_the_recipe_s_place(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    _write(tmp_path / "texts", "jsonl")
    fields = {"name": "a", "teacher": "MINILM_EMBEDDED", "refinement": "corpus", "corpus": "dataset:./texts:en"}

    def address() -> str:
        recipe = make_recipe(fields, source="test", base=tmp_path)
        assert recipe.corpus == (f"dataset:{tmp_path / 'texts'}:en",)
        assert without_paths(recipe).corpus == ("dataset:./texts:en",)
        return stage_keys(recipe, {"files_sha256": "0"})["text_embeddings"].fingerprint

    before = address()
    (tmp_path / "texts" / "more.jsonl").write_text('{"text": "one more text"}')
    assert address() != before
    shutil.rmtree(tmp_path / "texts")
    with pytest.raises(CorpusError, match="no such folder"):
        address()


def test_a_data_set_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match='make setup EXTRAS="datasets"'):
        sample_passages(["dataset:someone/texts"], 20, seed=0)


@pytest.mark.parametrize(
    ("texts", "passages"),
    [
        (["One two three. Four five!  Six"], ["One two three. Four five! Six"]),
        (["我喜欢北京。你呢？他也喜欢上海"], ["我喜欢北京。你呢？他也喜欢上海"]),
        (["ภาษาไทยเป็นภาษาที่มีเสียง"], ["ภาษาไทยเป็นภาษาที่มีเสียง"]),
        (["你好"], []),
        (["好" * 300], ["好" * 128, "好" * 128, "好" * 44]),
        ([f"café {'word ' * 70}"], [f"café {'word ' * 63}".strip(), "word " * 6 + "word"]),
    ],
)
def test_passages_are_of_whole_sentences_in_scripts_with_and_without_spaces(
    texts: list[str], passages: list[str]
) -> None:
    assert list(cut_passages(iter(texts))) == passages


@pytest.mark.parametrize(
    ("language", "listed"),
    [("en", "en"), ("pt-BR", "pt"), ("no", "nb"), ("hr", "sh"), ("tl", "fil"), ("zh", "zh"), ("zh-CN", "zh")]
    + [("sr", "sh"), ("sr-Latn", "sh")]
    + [(language, None) for language in ("ka", "eo", "cy", "af", "eu", "mr", "xx")]
    + [(language, None) for language in ("sr-Cyrl", "zh-Hant", "zh-TW", "ru-Latn")],
)
def test_a_language_is_not_taken_for_its_neighbour_or_its_other_script(language: str, listed: str | None) -> None:
    assert listed_language(language) == listed

"""Scores on labelled sets: perfect models score 1, blind ones don't, and bad files are named."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.quality.labelled import score_set, set_identity
from distill_pipeline.quality.measures import identity_of
from distill_pipeline.quality.rows import LabelledSetError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline_tests.running import Chain

TOPICS = ["owl mouse night", "bank money interest", "goal match team", "bread dough oven"]


def _by_topic(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """A model that knows the topics."""
    words = sorted({word for topic in TOPICS for word in topic.split()})
    topic_of = {word: number for number, topic in enumerate(TOPICS) for word in topic.split()}
    rows = np.full((len(texts), 4 + len(words)), 1e-3)
    for row, text in enumerate(texts):
        for word in text.split():
            if word in topic_of:
                rows[row, topic_of[word]] += 1
    return rows


def _blind(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(len(texts), 8))


def _examples() -> list[tuple[str, int]]:
    return [(f"{topic.split()[n % 3]} {n}", label) for label, topic in enumerate(TOPICS) for n in range(30)]


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, str]:
    examples = _examples()
    lines = "\n".join(f"{text}\t{label}" for text, label in examples)
    (tmp_path / "classes.tsv").write_text(f"text\tlabel\n{lines}\n")
    pairs = [(a, b, float(la == lb)) for a, la in examples[::7] for b, lb in examples[::11]]
    pq.write_table(
        pa.table({"a": [p[0] for p in pairs], "b": [p[1] for p in pairs], "score": [p[2] for p in pairs]}),
        tmp_path / "pairs.parquet",
    )
    folder = tmp_path / "search"
    folder.mkdir()
    documents = "\n".join(f"d{n}\t{text}" for n, (text, _) in enumerate(examples))
    (folder / "corpus.tsv").write_text(f"id\ttext\n{documents}\n")
    (folder / "queries.tsv").write_text("id\ttext\nq0\towl\nq1\tbank\n")
    qrels = "\n".join(f"q{label}\td{n}\t1" for n, (_, label) in enumerate(examples) if label < 2)
    (folder / "qrels.tsv").write_text(f"qid\tdid\tscore\n{qrels}\n")
    return {
        "pairs": f"pairs:{tmp_path / 'pairs.parquet'}",
        "classification": f"classification:{tmp_path / 'classes.tsv'}",
        "clustering": f"clustering:{tmp_path / 'classes.tsv'}",
        "retrieval": f"retrieval:{folder}",
    }


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [("pairs", 0.7, 0.3), ("classification", 0.99, 0.6), ("clustering", 0.99, 0.3), ("retrieval", 0.99, 0.6)],
)
def test_a_model_that_knows_scores_high_and_a_blind_one_low(
    sets: dict[str, str], kind: str, good: float, bad: float
) -> None:
    assert score_set(sets[kind], _by_topic).value >= good
    assert score_set(sets[kind], _blind).value < bad


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sts:x.tsv", "its kind must be one of pairs, classification"),
        ("pairs:no-such.tsv", "no-such.tsv': there is no "),
    ],
)
def test_a_wrong_set_is_named_before_any_work(name: str, said: str, recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(LabelledSetError) as refused:
        stage_keys(recipe(labelled_sets=[name]), {})
    assert said in str(refused.value)


def test_text_in_any_of_arrows_forms_is_text(tmp_path: Path) -> None:
    path = tmp_path / "pairs.parquet"
    first, second = (pa.array(texts, pa.large_string()) for texts in (["x", "x", "x"], ["x", "y", "z"]))
    pq.write_table(pa.table({"a": first, "b": second, "score": [0.9, 0.5, 0.1]}), path)
    rows = {"x": [1.0, 0.0], "y": [1.0, 1.0], "z": [0.0, 1.0]}
    assert score_set(f"pairs:{path}", lambda given: np.array([rows[text] for text in given])).value == 1


def test_the_two_texts_of_pairs_go_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("id\tscore\tsentence1\tsentence2\nx\t3\tx\tx\nx\t2\tx\ty\nx\t1\tx\tz\n")
    rows = {"x": [1.0, 0.0], "y": [1.0, 1.0], "z": [0.0, 1.0]}
    assert score_set(f"pairs:{tmp_path / 'x.tsv'}", lambda given: np.array([rows[text] for text in given])).value == 1


def test_ids_that_look_like_numbers_are_ids(tmp_path: Path) -> None:
    (tmp_path / "corpus.tsv").write_text("id\ttext\n007\t1\n7\t2\n")
    (tmp_path / "queries.tsv").write_text("id\ttext\n01\t1\n")
    (tmp_path / "qrels.tsv").write_text("qid\tdid\tscore\n01\t007\t1\n")
    rows = {"1": [1.0, 0.0], "2": [0.0, 1.0]}
    assert score_set(f"retrieval:{tmp_path}", lambda given: np.array([rows[text] for text in given])).value == 1


def test_a_set_of_another_kind_is_another_set(sets: dict[str, str], recipe: Callable[..., Recipe]) -> None:
    keys = [
        stage_keys(recipe(labelled_sets=[sets[kind]]), {})["quality_report"]
        for kind in ("classification", "clustering")
    ]
    assert keys[0] != keys[1]


def test_pairs_without_two_texts_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("a\tscore\nword\t1\n")
    with pytest.raises(LabelledSetError, match="pairs need two columns of text; it has a"):
        score_set(f"pairs:{tmp_path / 'x.tsv'}", _blind)


def test_a_folder_within_a_set_is_no_part_of_it(sets: dict[str, str], recipe: Callable[..., Recipe]) -> None:
    made = recipe(labelled_sets=[sets["retrieval"]])
    before = stage_keys(made, {})["quality_report"]
    (Path(sets["retrieval"].partition(":")[2]) / "old").mkdir()
    assert stage_keys(made, {})["quality_report"] == before


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("text\tclass\na\tb\n")
    with pytest.raises(LabelledSetError, match="no column 'label'; it has text, class"):
        score_set(f"classification:{tmp_path / 'x.tsv'}", _blind)


GOOD = "text\tlabel\n" + "".join(f"kite {n}\tsky\nbarge {n}\tsea\n" for n in range(9))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("classification:x.tsv", f"{GOOD}one bee\tair\n", "x.tsv, line 20: the only text of the class 'air'"),
        ("classification:x.tsv", f"{GOOD}one bee\n", "Row #20: Expected 2 columns, got 1"),
        ("classification:x.tsv", f"{GOOD}one bee\t\n", "x.tsv, line 20: no label"),
        ("classification:x.tsv", f"{GOOD} \tsky\n", "x.tsv, line 20: no text"),
        ("classification:x.tsv", "text\tlabel\na\tx\na\tx\nb\ty\nb\ty\nc\tz\nc\tz\n", "too few texts"),
        ("classification:x.tsv", "text\tlabel\na\tsky\nb\tsky\n", "texts of one class alone, 'sky'"),
        ("classification:x.tsv", "text\tlabel\tsplit\na\tx\ttrain\nb\ty\ttest\n", "split=train have texts of one"),
        ("classification:x.csv", 'text,label\n"a, b",x,y\n', "Row #2: Expected 2 columns, got 3"),
        ("clustering:x.tsv", "text\tlabel\na\tsky\nb\tsky\n", "texts of one class alone, 'sky'"),
        ("clustering:x.tsv", "text\tlabel\n", "it has no rows"),
        ("clustering:x.tsv", "text\tlabel\nna\xefve\tx\n", "not UTF-8"),
        ("clustering:x.jsonl", '{"text": "a", "label": "x"}\n{"text": null, "label": "y"}', "x.jsonl, row 2: no text"),
        ("clustering:x.jsonl", '{"text": ["a"], "label": "x"}\n', "row 1: 'text' holds a value of type list"),
        ("pairs:x.tsv", "a\tb\tscore\nx\ty\t1\nx\tz\t\n", "x.tsv, line 3: no score"),
        ("pairs:x.tsv", "a\tb\tscore\nx\ty\t1\nx\tz\thigh\n", "line 3: 'score' is 'high', no number"),
        ("pairs:x.tsv", "a\tb\tscore\nx\ty\t1\nx\tz\t1\n", "all its scores are alike"),
    ],
)
def test_what_is_wrong_in_a_set_is_named_before_any_work(
    tmp_path: Path, name: str, content: str, said: str, recipe: Callable[..., Recipe]
) -> None:
    kind, _, file = name.partition(":")
    (tmp_path / file).write_bytes(content.encode("latin-1"))
    with pytest.raises(LabelledSetError) as refused:
        stage_keys(recipe(labelled_sets=[f"{kind}:{tmp_path / file}"]), {})
    assert said in str(refused.value)


def test_a_missing_extra_is_named_before_any_work(
    recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(LabelledSetError, match='needs MTEB: make setup EXTRAS="mteb"'):
        stage_keys(recipe(labelled_sets=["mteb:STS12"]), {})


@pytest.mark.parametrize(
    ("qrels", "said"),
    [
        ("q0\td1\t0\n", "no query has a relevant document"),
        ("q0\tdoc1\t1\n", "corpus.tsv has no relevant document's id"),
        ("q0\td1\n", "Expected 3 columns, got 2"),
    ],
)
def test_relevance_that_leads_nowhere_is_named_before_any_work(
    sets: dict[str, str], qrels: str, said: str, recipe: Callable[..., Recipe]
) -> None:
    (Path(sets["retrieval"].partition(":")[2]) / "qrels.tsv").write_text(f"qid\tdid\tscore\n{qrels}")
    with pytest.raises(LabelledSetError) as refused:
        stage_keys(recipe(labelled_sets=[sets["retrieval"]]), {})
    assert said in str(refused.value)


def test_sets_of_every_kind_of_file_are_read_alike(tmp_path: Path) -> None:
    examples = _examples()
    texts, labels = [text.encode() for text, _ in examples], [label for _, label in examples]
    pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / "x.PARQUET")
    lines = [f'"{text}",{label}' for text, label in examples]
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress("\n".join(["text,label", *lines]).encode("utf-8-sig")))
    lines = [json.dumps({"text": text, "label": label}) for text, label in examples]
    (tmp_path / "x.jsonl").write_text("\n".join(lines))
    scores = {score_set(f"classification:{path}", _blind).value for path in tmp_path.iterdir()}
    assert len(scores) == 1


def test_the_report_scores_teacher_and_student_and_follows_the_sets_content(
    finished: Chain, recipe: Callable[..., Recipe], sets: dict[str, str]
) -> None:
    made = recipe(labelled_sets=[sets["pairs"], sets["retrieval"]])
    metadata = finished.metadata(finished.run(made))["quality_report"]
    assert "pairs.parquet" in metadata["labelled_sets"]
    report = json.loads((finished.home.releases / "tiny" / "quality.json").read_text())
    assert [entry["kind"] for entry in report["labelled_sets"]] == ["pairs", "retrieval"]
    assert "pairs.parquet" in (finished.home.releases / "tiny" / "README.md").read_text()
    qrels = Path(sets["retrieval"].partition(":")[2]) / "qrels.tsv"
    qrels.write_text(qrels.read_text() + "q0\td119\t1\n")
    cache = finished.cache(finished.run(made))
    assert cache["static_model"] == "hit"
    assert cache["quality_report"] == "computed"


def test_a_task_of_mteb_is_told_by_the_revision_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def task(revision: str) -> dict[str, Any]:
        dataset = {"path": "mteb/sts12", "revision": revision}
        mteb = SimpleNamespace(get_task=lambda _: SimpleNamespace(metadata=SimpleNamespace(dataset=dataset)))
        monkeypatch.setitem(sys.modules, "mteb", mteb)
        return set_identity("mteb:STS12")

    assert task("a1") == {"kind": "mteb", "set": "STS12", "dataset": "mteb/sts12", "revision": "a1"}
    assert identity_of(task("a1")) != identity_of(task("b2"))

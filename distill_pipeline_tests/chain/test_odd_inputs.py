"""Nothing but a recipe's own run suffers from what the recipe reads: its texts, words, sets and its teacher's files."""

from __future__ import annotations

import bz2
import gzip
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from distill_pipeline.chain.comparison import find_reports
from distill_pipeline.chain.gc import find_leftovers
from distill_pipeline.chain.home import Home
from distill_pipeline.chain.plan import plan_recipes
from distill_pipeline.defs.automation import stale_recipes, teacher_watch
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.texts.corpus import source_files
from distill_pipeline_tests.recipe.oddities import PATHS
from distill_pipeline_tests.servers.hub import Hub

SETTINGS = "refinement: none\npca_dims: 8\nvocabulary_words: 300\ncompare_with_model2vec: false\n"

FILES: Mapping[str, bytes] = {
    "texts.txt": b"\0\x01\xff",
    "utf-16.txt": "words\n".encode("utf-16"),
    "no-utf-8.txt": b"caf\xe9\n",
    "long.txt": b"x" * (1 << 24) + b"x",
    "cut.gz": gzip.compress(b"words\n" * 99)[:-9],
    "no.gz": b"words\n",
    "cut.bz2": bz2.compress(os.urandom(9999))[:-99],
    "no.xz": b"words\n",
    "no.zst": b"words\n",
    "no.parquet": b"PAR1PAR1",
    "cut.parquet": b"PAR1" + bytes(99),
    "empty.csv": b"",
    "quote.csv": b'text,label,score\n"a,b,1\n',
    "ragged.tsv": b"text\tlabel\na\tb\tc\nd\n",
    "deep.jsonl": b'{"text": ' + b"[" * 100_000 + b"\n",
    "deep-and-closed.jsonl": b'{"text": ' + b"[" * 3000 + b"]" * 3000 + b"}\n",
    "digits.jsonl": b'{"text": ' + b"9" * 5000 + b', "score": ' + b"9" * 5000 + b"}\n",
    "infinity.jsonl": b'{"text": Infinity, "sentence1": NaN, "sentence2": "b", "score": -Infinity}\n',
    "surrogate.jsonl": b'{"text": "\\ud800", "sentence1": "\\udcff", "sentence2": "\\ud800", "score": 1}\n',
    "number.json": b"1\n",
}
"""Files of texts that can't be read as such, or that hold odd ones."""

FIELDS = ("corpus: {}\nwords_from: corpus", "words: {}", "evaluation_texts: {}", "labelled_sets: ['pairs:{}']")
FOLDERS = ("corpus: dataset:{}\nwords_from: corpus", "corpus: {}/*\nwords_from: corpus", "labelled_sets: retrieval:{}")
TEACHERS = ("config.json", "modules.json", "model.safetensors", "tokenizer.json", "config_sentence_transformers.json")

Neighbours = Callable[[str], str]


@pytest.fixture(autouse=True)
def _nothing_hangs() -> Iterator[None]:
    """End a test that waits for ever, as for the writer of a FIFO."""
    signal.alarm(300)
    yield
    signal.alarm(0)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """An instance on disk, which these tests only read."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


@pytest.fixture
def beside(home: Home, bert: Path, instance: dg.DagsterInstance) -> Neighbours:
    """Writes the recipe `other`, looks at it with all that serves everyone, and returns its problem, if any."""
    home.recipes.mkdir(parents=True)
    (home.recipes / "tiny.yaml").write_text(f"teacher: {bert}\n{SETTINGS}")
    bound = DistillHome(home, dg.StaticPartitionsDefinition(["tiny", "other"]))
    day = datetime(2026, 1, 1, 3, tzinfo=UTC)

    def look(fields: str) -> str:
        teacher = "" if fields.startswith("teacher: ") else f"teacher: {bert}\n"
        (home.recipes / "other.yaml").write_text(f"{teacher}{SETTINGS}{fields}\n")
        recipes, left_out = home.load_recipes()
        plans = {planned.recipe: planned for planned in plan_recipes(home, recipes.values())}
        assert not plans["tiny"].problem
        assert find_leftovers(home).obstacles == left_out  # nothing of `other` is in the store
        assert {"tiny"} <= find_reports(home.store, recipes.values())[1].keys()
        with dg.build_schedule_context(instance, day) as at_three, dg.build_sensor_context(instance) as each_quarter:
            skipped: Any = stale_recipes(at_three, bound)
            assert isinstance(teacher_watch(each_quarter, bound), dg.SensorResult)
        assert "tiny: never released" in skipped.skip_message
        problem = "\n".join(left_out) if left_out else plans["other"].problem
        for line in problem.splitlines():
            assert line.isprintable()
            assert line in skipped.skip_message or left_out
        return problem

    return look


def _teacher(bert: Path, folder: Path, odd: str) -> Path:
    """Return a copy of the teacher with a place left for an odd file."""
    shutil.copytree(bert, folder)
    (folder / odd).unlink(missing_ok=True)
    return folder / odd


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("odd", PATHS)
def test_an_input_that_is_no_readable_file_is_its_recipes_problem(
    beside: Neighbours, tmp_path: Path, field: str, odd: str
) -> None:
    PATHS[odd](tmp_path / "odd")
    assert beside(field.format(tmp_path / "odd"))


@pytest.mark.parametrize("field", FOLDERS)
def test_a_folder_of_odd_inputs_is_its_recipes_problem(beside: Neighbours, tmp_path: Path, field: str) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for name, make in PATHS.items():
        make(folder / f"corpus.{name}")
    assert beside(field.format(folder))


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_odd_texts_is_at_most_its_recipes_problem(beside: Neighbours, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    for field in FIELDS:
        problem = beside(field.format(tmp_path / name))
        assert "Error: " not in problem


@pytest.mark.parametrize("name", TEACHERS)
def test_an_odd_file_of_a_teacher_is_at_most_its_recipes_problem(
    beside: Neighbours, bert: Path, tmp_path: Path, name: str
) -> None:
    for odd in ("fifo", "folder", "dangling", "unreadable"):
        PATHS[odd](_teacher(bert, tmp_path / odd, name))
        beside(f"teacher: {tmp_path / odd}")
    contents = {
        "deep": b"[" * 100_000,
        "nul": b'[{"path": "a\\u0000b", "type": "x"}]',
        "number": b"1",
        "binary": b"\xff",
    }
    for odd, content in contents.items():
        _teacher(bert, tmp_path / odd, name).write_bytes(content)
        beside(f"teacher: {tmp_path / odd}")


@pytest.mark.parametrize("odd", PATHS)
def test_a_teacher_that_is_no_folder_is_its_recipes_problem(beside: Neighbours, tmp_path: Path, odd: str) -> None:
    PATHS[odd](tmp_path / "odd")
    assert beside(f"teacher: {tmp_path / 'odd'}")


@pytest.mark.parametrize("branch", ["x" * 70_000, "a b/../c", "%", "a~b", "?#", "é" * 300])
def test_a_branch_that_no_hub_can_have_is_its_recipes_problem(beside: Neighbours, hub: Hub, branch: str) -> None:
    assert beside(f'teacher: acme/model\nrevision: "{branch}"')


def test_links_that_lead_back_are_followed_once(beside: Neighbours, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.txt").write_text("words of a text\n" * 9)
    for name in ("one", "two", "three"):
        (folder / name).symlink_to(".")
    (folder / ".hidden").symlink_to("deep")
    (tmp_path / "elsewhere").symlink_to("texts")
    for pattern in ("texts/**/*.txt", "texts/**", "**/*.txt", "else*/**/d*/**/a.txt"):
        assert source_files(str(tmp_path / pattern))[0][0].samefile(folder / "deep" / "a.txt")
        assert len(source_files(str(tmp_path / pattern))[0]) == 1
    assert beside(f"corpus: {folder}/**/*.no-such\nwords_from: corpus")

"""Using a student from the command line: searching a file, and encoding files of any size."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from model2vec import StaticModel

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.teachers import _resolve_once
from distill_pipeline.cli.flags import UsageError
from distill_pipeline.cli.main import main
from distill_pipeline.cli.student import encode
from distill_pipeline.cli.tables import rendered, side_by_side, table
from distill_pipeline.quality.agreement import evaluation_texts
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.student.encode import MAX_TEXTS, encode_to_parquet, text_blocks
from distill_pipeline.student.search import Index
from distill_pipeline.texts.files import TextFileError
from distill_pipeline_tests.running import Chain

TEXTS = ["The owl hunts mice.", "", "Boil the pasta for nine minutes.", "naïve ☃"]


@pytest.fixture
def student(finished: Chain, home: Home, recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> StaticModel:
    """The stored student of the recipe tiny, in the process' home."""
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    model: StaticModel = StaticModel.from_pretrained(finished.output(recipe(), "static_model").folder)
    return model


def test_files_of_every_kind_become_one_parquet_file_in_order(
    student: StaticModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"body": text, "n": 1}) + "\n" for text in TEXTS)
    pq.write_table(pa.table({"body": [*TEXTS, None]}), tmp_path / "c.parquet")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbffrom a pipe\n")))
    names = [str(tmp_path / name) for name in ("a.txt", "b.jsonl.gz", "c.parquet")]
    output = tmp_path / "out.parquet"
    main(["encode", "tiny", *names, "-", str(output), "--column", "body"])

    table = pq.read_table(output)
    expected = [*TEXTS, *TEXTS, *TEXTS, "", "from a pipe"]
    assert table["text"].to_pylist() == expected
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), student.dim)
    assert np.array_equal(Embeddings([output]).all(), student.encode(expected).astype(np.float32))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        *("a.txt", "b.jsonl.gz", "c.parquet", "out.parquet")
    ]
    assert f"{len(expected)} texts" in capsys.readouterr().out


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, *, width: int) -> None:
    """Let standard output be a terminal of so many cells."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))


@pytest.fixture
def own_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The process' home is the test's."""
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    return home


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["a.txt"], "needs a student, inputs and an output"),
        (["a.txt", "b.txt"], "the output comes last and ends in .parquet"),
        (["none.txt", "out.parquet"], "none.txt: there is no such file"),
        (["a.txt", "old.parquet"], "exists: name another file, or add --overwrite true"),
        (["old.parquet", "old.parquet"], "input and output are the same file"),
        (["a.txt", "nowhere/out.parquet"], "there is no folder"),
    ],
)
def test_encode_refuses_before_anything_is_written(
    own_home: Home, tmp_path: Path, files: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "old.parquet").write_text("old")
    with pytest.raises(UsageError) as refused:
        encode("minilm-256", *files)
    assert said in str(refused.value)
    assert (tmp_path / "old.parquet").read_text() == "old"


def test_a_failure_half_way_leaves_the_older_file_as_it_was(student: StaticModel, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    output.write_text("old")

    def texts() -> Iterator[str]:
        yield from ["text"] * (MAX_TEXTS + 1)
        raise TextFileError("the disk went away")

    with pytest.raises(TextFileError):
        encode_to_parquet(student, texts(), output)
    assert output.read_text() == "old"
    assert list(tmp_path.iterdir()) == [output, *[path for path in tmp_path.iterdir() if path.is_dir()]]
    done = encode_to_parquet(student, ["text"], output)
    assert (done.texts, pq.read_metadata(output).num_rows) == (1, 1)


def test_neither_many_nor_long_texts_are_held_together() -> None:
    read = []

    def texts() -> Iterator[str]:
        for number in range(10):
            read.append(number)
            yield "x" * number

    blocks = text_blocks(texts(), max_texts=4, max_characters=12)
    assert next(blocks) == ["", "x", "xx", "xxx"]
    assert len(read) == 4
    assert [len(block) for block in blocks] == [3, 2, 1]


def test_a_column_that_none_of_the_inputs_can_have_is_refused(own_home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UsageError, match="--column body: none of the inputs has columns"):
        encode("minilm-256", str(tmp_path / "a.txt"), "-", str(tmp_path / "out.parquet"), column="body")


def test_standard_input_in_another_encoding_is_refused_as_a_file_of_it_is(
    student: StaticModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for name in ("-", str(tmp_path / "a.txt")):
        (tmp_path / "a.txt").write_bytes("grün\n".encode("latin-1"))
        # As in a C locale, where Python lets half-decoded characters through.
        stdin = io.TextIOWrapper(io.BytesIO("grün\n".encode("latin-1")), errors="surrogateescape")
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(SystemExit) as ended:
            main(["encode", "tiny", name, str(tmp_path / "out.parquet")])
        assert ended.value.code == 2
        said.append(capsys.readouterr().err.partition(": not UTF-8 text (")[2])
    assert said[0] == said[1] != ""
    assert not (tmp_path / "out.parquet").exists()


def test_a_student_that_was_never_made_says_what_to_run(
    own_home: Home, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("text")
    for named, said in (
        ("minilm-256", "distill-pipeline run minilm-256"),
        ("minilm-25", "Did you mean minilm-256?"),
        (str(tmp_path), "there is no static model in this folder"),
    ):
        with pytest.raises(SystemExit):
            main(["search", named, str(tmp_path / "a.txt"), "--query", "text"])
        assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def orphaned(small_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    """A home, and the recipe that was run there, whose teacher's folder has gone; tests get copies of the home."""
    folder = tmp_path_factory.mktemp("orphaned")
    teacher = shutil.copytree(small_recipe().teacher, folder / "teacher")
    wanted = small_recipe(teacher=str(teacher))
    with Chain(Home(folder / "home")) as chain:
        chain.run(wanted)
    shutil.rmtree(teacher)
    return folder / "home", wanted


@pytest.fixture
def without_teacher(orphaned: tuple[Path, Recipe], home: Home, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe that was run, in the process' home, whose teacher's folder has gone."""
    there, wanted = orphaned
    shutil.copytree(there, home.root)
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    _resolve_once.cache_clear()
    return wanted


def test_a_finished_student_needs_no_teacher(
    without_teacher: Recipe, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    names = ["one", "two"]
    for name in names:
        main(["encode", "tiny", str(tmp_path / "a.txt"), str(tmp_path / f"{name}.parquet")])
        main(["search", "tiny", str(tmp_path / "a.txt"), "--query", "owl"])
        captured = capsys.readouterr()
        assert "student: " in captured.out
        assert "teacher: " not in captured.out
        assert "without the teacher: " in captured.err
        main(["verify", "tiny"])
        shutil.rmtree(home.root / "store", ignore_errors=True)  # the second time the release is all there is
    tables = [pq.read_table(tmp_path / f"{name}.parquet") for name in names]
    assert tables[0].equals(tables[1])


def test_a_student_that_was_made_with_other_settings_is_not_taken_for_the_recipes(
    without_teacher: Recipe, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.save_recipe(without_teacher.model_copy(update={"pca_dims": 4}))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(SystemExit):
        main(["encode", "tiny", str(tmp_path / "a.txt"), str(tmp_path / "out.parquet")])
    assert "tiny has changed since it was run (pca_dims: 8 -> 4): distill-pipeline run tiny" in capsys.readouterr().err


def test_teacher_and_student_answer_side_by_side_within_the_width(
    student: StaticModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = evaluation_texts()[:30]
    (tmp_path / "a.txt").write_text("\n\n".join(lines), encoding="utf-8")
    at_a_terminal(monkeypatch, width=100)
    main(["search", "tiny", str(tmp_path / "a.txt"), "--query", lines[7], "--top", "3", "--limit", "20"])
    captured = capsys.readouterr()
    answer = captured.out.splitlines()
    assert answer[0] == f"> {lines[7]}"
    assert "teacher: " in answer[1]
    assert "student: " in answer[1]
    assert answer[2].count(" 1.00  ") == 2, "a text is its own nearest, for both"
    assert len([line for line in answer[2:] if line]) == 3
    assert all(len(line) <= 100 for line in answer[1:])
    assert "the first 20 lines" in captured.err
    assert captured.err.count("20 lines encoded") == 2


def test_queries_are_read_line_by_line_and_a_folder_has_no_teacher(
    student: StaticModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    student.save_pretrained(tmp_path / "model")
    (tmp_path / "a.txt").write_text("\n".join(evaluation_texts()[:5]), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"owl\nsoup\n\nnever asked\n")))
    main(["search", str(tmp_path / "model"), str(tmp_path / "a.txt"), "--top", "9"])
    captured = capsys.readouterr()
    assert [line for line in captured.out.splitlines() if line.startswith(">")] == ["> owl", "> soup"]
    assert "teacher" not in captured.out
    assert set(evaluation_texts()[:5]) <= {line[7:] for line in captured.out.splitlines()}, "whole, where none is cut"
    assert len(captured.out.split("\n\n")[0].splitlines()) == 2 + 5, "the query, the times, and all five lines"


def test_an_index_finds_what_a_full_sort_finds(student: StaticModel) -> None:
    texts = evaluation_texts()[:50]
    found = Index(student.encode, texts).nearest("a bird of prey", 5).found
    rows = student.encode([*texts, "a bird of prey"]).astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    order = np.argsort(-(rows[:-1] @ rows[-1]), kind="stable")[:5]
    assert [number for number, _ in found] == order.tolist()


def test_columns_fit_a_terminal_whatever_is_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [["ab\tc", "日本語のとても長い文" * 9, "[red]:owl:"], ["x" * 99, "\x1b[31mred", "z"]]
    at_a_terminal(monkeypatch, width=60)
    lines = rendered(side_by_side(columns)).split("\n")
    assert lines == [
        "ab c" + " " * 26 + "x" * 29 + "…",
        "日本語のとても長い文日本語 …   [31mred",
        "[red]:owl:" + " " * 20 + "z",
    ]


def test_lines_in_a_pipe_are_whole_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = table("name", "why", header=True)
    rows.add_row("[bold]tiny[/]", "12 " * 100 + ":owl:")
    long = "日本語のとても長い文" * 900
    lines = rendered(rows, "", side_by_side([["\x1b[31mred", long], ["z"]])).split("\n")
    assert lines == ["name           why", f"[bold]tiny[/]  {'12 ' * 100}:owl:", "", " [31mred", long, "z"]

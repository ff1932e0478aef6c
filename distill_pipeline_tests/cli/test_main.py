"""The command line: nothing runs on a misspelt word, and an ad-hoc distillation becomes a recipe."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distill_pipeline.__main__ import run as run_process
from distill_pipeline.chain.home import Home
from distill_pipeline.cli.flags import UsageError, check_command_line, with_truths
from distill_pipeline.cli.main import COMMANDS, main
from distill_pipeline.recipe.reading import read_recipe
from distill_pipeline_tests.servers.hub import Hub

FEW = {"vocabulary_words": "300", "dictionary_texts": "0", "generated_texts": "300"}
"""The report is the default one: here alone a chain scores all of its labelled tasks, of model2vec's student too."""
SMALL = [argument for field, value in FEW.items() for argument in (f"--{field}", value)]


@pytest.fixture
def own_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The process' home is the test's."""
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return home


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["distil"], "Did you mean distill?"),
        (["distill", "--base_model_nam", "x"], "Did you mean --base_model_name?"),
        (["distill", "--base_model_name", "x", "--pca_dim", "128"], "Did you mean --pca_dims?"),
        (["distill", "--pca_dims", "128"], "needs base_model_name"),
        (["distill", "--base_model_name", "x", "--pca_dims"], "--pca_dims needs a value"),
        (["distill", "--base_model_name=x", "--base_model_name=y"], "given twice"),
        (["distill", "x", "y", "--base_model_name", "z"], "too many"),
        (["run"], "run needs recipe"),
        (["run", "a", "b", "c"], "too many"),
        (["recipes", "--all"], "no flag --all"),
    ],
)
def test_a_command_line_is_refused_before_fire_calls_anything(arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_command_line(COMMANDS, arguments)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "minilm-25"], "Did you mean minilm-256?"),
        (["run", "minilm-256", "--force", "statik_model"], "Did you mean static_model?"),
        (["distill", "--base_model_name", "MODERNBERT_BAS"], "Did you mean MODERNBERT_BASE?"),
        (["distill", "--base_model_name", "MINILM_EMBEDDED", "--pca_dims", "1024"], "exceeds the teacher's 384"),
        (["distill", "--base_model_name", "./no-such-folder"], "no Sentence Transformer in this folder"),
    ],
)
def test_an_impossible_request_ends_with_status_2_and_leaves_nothing(
    own_home: Home, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not own_home.root.exists()


def test_a_folder_is_distilled_and_saved_as_a_recipe(
    own_home: Home, modernbert: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["distill", "--base_model_name", str(modernbert), "--pca_dims", "8", "--name", "tiny", *SMALL])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(own_home.releases / "tiny")
    assert any(line.startswith("static_model") and "computed" in line for line in lines)
    recipe = read_recipe(own_home.recipes / "tiny.yaml")
    assert (recipe.pca_dims, recipe.generated_texts) == (8, 300)

    main(["verify", "tiny"])
    assert f"{own_home.releases / 'tiny'}: as released" in capsys.readouterr().out

    main(["plan", "tiny"])
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["fresh"] * 7
    (own_home.recipes / "tiny.yaml").write_text(
        "".join(f"{field}: {value}\n" for field, value in {"teacher": modernbert, "pca_dims": 4, **FEW}.items())
    )
    main(["plan", "tiny"])
    states = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in states] == ["fresh"] * 3 + ["stale"] * 4
    assert "pca_dims: 8 -> 4" in states[3]

    main(["recipes"])
    assert "released" in next(line for line in capsys.readouterr().out.splitlines() if line.startswith("tiny "))


def test_distill_replaces_no_recipe_of_other_settings_unless_told_to(
    own_home: Home, bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill_pipeline.cli.main._execute", lambda *_: None)
    teachers = [shutil.copytree(bert, tmp_path / year / "best") for year in ("first", "second")]
    given = ["distill", "--pca_dims", "8", "--words", "kiwi,plum", "--base_model_name"]
    for message in ("first", "second"):
        main([*given, str(teachers[0]), "--commit_msg", message])
    path = own_home.recipes / "best-8.yaml"
    before = path.read_text()
    for other in ([str(teachers[1])], [str(teachers[0]), "--dtype=int8"]):
        with pytest.raises(SystemExit) as ended:
            main([*given, *other])
        assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"teacher: {teachers[0]} -> {teachers[1]}" in said
    assert "there is another recipe 'best-8': dtype: float16 -> int8. Choose another name with --name, or" in said
    assert path.read_text() == before
    main([*given, str(teachers[1]), "--overwrite"])
    assert read_recipe(path).teacher == str(teachers[1])
    path.rename(path.with_suffix(".yml"))
    main([*given, str(teachers[0]), "--overwrite", "true"])
    assert [file.name for file in own_home.recipes.iterdir()] == ["best-8.yml"]
    path.with_suffix(".yml").write_text("teacher: [")
    with pytest.raises(SystemExit):
        main([*given, str(teachers[0])])
    assert "not readable as YAML" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "spelt_out"),
    [
        (["run", "a", "--dry_run"], ["run", "a", "--dry_run=true"]),
        (["run", "--dry-run", "a", "--force", "all"], ["run", "--dry-run=true", "a", "--force", "all"]),
        (["run", "a", "--dry_run", "false"], ["run", "a", "--dry_run", "false"]),
        (["run", "a", "-d"], ["run", "a", "-d=true"]),
        (["gc", "--delete"], ["gc", "--delete=true"]),
        (["distill", "--private", "--lowercase=false"], ["distill", "--private=true", "--lowercase=false"]),
        (["distill", "--trust_remote_code", "no"], ["distill", "--trust_remote_code", "no"]),
        (["distill", "--tag", "next"], ["distill", "--tag", "next"]),
        (["no-such", "--private"], ["no-such", "--private"]),
        ([], []),
    ],
)
def test_a_flag_without_a_value_is_true_if_it_can_be(arguments: list[str], spelt_out: list[str]) -> None:
    assert with_truths(COMMANDS, arguments) == spelt_out


def test_a_relative_home_of_dagsters_counts_from_the_working_folder(
    own_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", "./history")
    own_home.prepare_dagster()
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "history")
    assert (tmp_path / "history" / "dagster.yaml").is_file()


def test_a_distillation_without_a_name_never_takes_a_shipped_recipes(
    own_home: Home, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = shutil.copytree(bert, tmp_path / "Teacher_A")
    (tmp_path / "teacher-a-8.yaml").touch()
    monkeypatch.setattr("distill_pipeline.recipe.presets.SHIPPED_RECIPES", tmp_path)
    monkeypatch.setattr("distill_pipeline.cli.main._execute", lambda *_: None)
    for dimensions, name in (("8", "my-teacher-a-8"), ("4", "teacher-a-4")):
        main(["distill", "--base_model_name", str(teacher), "--pca_dims", dimensions])
        assert read_recipe(own_home.recipes / f"{name}.yaml").teacher == str(teacher)


def test_a_failed_run_ends_with_status_1_and_one_message(
    own_home: Home, bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["distill", "--base_model_name", str(bert), "--pca_dims", "8", "--name", "tiny", *SMALL]
    arguments += ["--labelled_sets=[]", "--compare_with_model2vec=false"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--min_similarity_correlation", "1"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "quality_report: check floors_are_reached failed: similarity_correlation 0." in said
    assert not re.search(r"Traceback|Stack Trace|File \"|Dependencies", said)


def test_where_a_release_may_not_go_is_known_before_any_work(
    own_home: Home, bert: Path, hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ending(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert ended.value.code == 2
        return capsys.readouterr().err

    hub.create("me/tiny", {"config.json": b"{}"})
    teacher = ["--base_model_name", str(bert), "--pca_dims", "8", "--name", "tiny", *SMALL]
    refused = "tiny is not released: me/tiny holds something else than a release of distill-pipeline: config.json"
    assert refused in ending("distill", *teacher, "--model_repository_name", "me/tiny")
    assert not own_home.root.exists()
    own_home.recipes.mkdir(parents=True)
    (own_home.recipes / "tiny.yaml").write_text(f"teacher: {bert}\nrepository: me/tiny\npca_dims: 8\n")
    (own_home.recipes / "other.yaml").write_text(f"teacher: {bert}\nrepository: me/new\npca_dims: 8\n")
    for how in ((), ("--dry_run",)):
        assert refused in ending("run", "tiny", *how)
    main(["plan", "tiny"])
    assert "the release will be refused: me/tiny holds something else" in capsys.readouterr().err
    main(["plan", "other"])
    assert "me/new is public, and so will be the student of the folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["sweep", str(_a_sweep(own_home, bert)), "--release"])
    assert "grid.dims-4 failed: grid.dims-4 is not released: me/tiny holds" in capsys.readouterr().err
    monkeypatch.delenv("HF_TOKEN")
    assert "there is no access token" in ending("run", "other")
    assert not own_home.store.root.exists()
    assert not hub.releases("me/tiny")


def _a_sweep(home: Home, teacher: Path) -> Path:
    path = home.root / "grid.yaml"
    path.write_text(f"teacher: {teacher}\nrepository: me/tiny\nsweep:\n  pca_dims: [4]\n")
    return path


def test_a_sweeps_plan_has_a_line_for_each_of_its_recipes(
    own_home: Home, bert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_home.recipes.mkdir(parents=True)
    (own_home.recipes / "small.yaml").write_text(f"teacher: {bert}\nsweep:\n  pca_dims: [4, 8]\n")
    main(["plan", "small"])
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [["small.dims-4", "missing"], ["small.dims-8", "missing"]]


def test_a_reader_that_has_seen_enough_is_no_error(own_home: Home) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "distill_pipeline", "recipes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert said == ""
    assert process.returncode == 141


def test_help_describes_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["distill", "--help"])
    assert ended.value.code == 0
    captured = capsys.readouterr()
    text = captured.out + captured.err
    for flag in ("--base_model_name", "--pca_dims", "--model_repository_name", "--commit_msg", "--preset"):
        assert flag in text
    assert "Principal components kept" in text


@pytest.mark.parametrize(("command", "status"), [("recipes", 0), ("recipes 2>&-", 0), ("run", 2)])
def test_the_process_ends_with_what_was_to_happen_at_its_end(command: str, status: int) -> None:
    program = "import atexit; from distill_pipeline.__main__ import run; atexit.register(print, 'the end'); run()"
    line = f'"{sys.executable}" -c "{program}" {command}'
    ended = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert ended.returncode == status
    assert ended.stdout.endswith("the end\n")
    assert bool(ended.stderr) == (status != 0)


def test_a_message_of_the_way_out_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill_pipeline.__main__.main", lambda: sys.exit("a message"))
    with pytest.raises(SystemExit, match="a message"):
        run_process()

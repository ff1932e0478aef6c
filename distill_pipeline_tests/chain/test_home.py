"""Homes with odd names, homes of somebody else, and homes where nothing can be written: used, or refused in a line."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from distill_pipeline.chain.gc import find_leftovers
from distill_pipeline.chain.home import Home, HomeError, default_home
from distill_pipeline.cli.main import main
from distill_pipeline_tests.recipe.oddities import HEALTHY, nobody


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")  # an empty one is none; the test's end brings back what was


@pytest.mark.parametrize("name", ["a%b", "a#b", "a b", "a'b", "{a}", "é ü"])
def test_a_home_may_have_any_name_that_dagster_can_use(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path / name)
    home.prepare_dagster()
    assert os.environ["DAGSTER_HOME"] == str(home.root / "dagster")
    with dg.DagsterInstance.get() as instance:
        assert instance.get_runs() == []
    assert list(home.root.rglob("runs.db"))
    assert not [path for path in tmp_path.iterdir() if path != home.root]


@pytest.mark.parametrize("name", ["a?b", "a%20b"])
def test_a_name_that_dagster_reads_as_part_of_a_url_is_refused_for_its_history_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    home = Home(tmp_path / name)
    with pytest.raises(HomeError, match=r"DAGSTER_HOME=.*Dagster can't use a path with '.' or such as"):
        home.prepare_dagster()
    assert not home.root.exists()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "history"))
    home.prepare_dagster()
    assert (tmp_path / "history" / "dagster.yaml").exists()


@pytest.mark.parametrize("setting", ["DISTILL_HOME", "DAGSTER_HOME"])
def test_the_home_of_nobody_is_refused_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    monkeypatch.setenv(setting, "~no-such-user/x")
    with pytest.raises(SystemExit):
        main(["init"])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"HomeError: {setting}=~no-such-user/x: ")


def test_a_working_folder_that_is_gone_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISTILL_HOME")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(HomeError, match=r"DISTILL_HOME=\.distill: .*set it to the whole path"):
        default_home()


@pytest.mark.parametrize("arguments", [["run", "minilm-256"], ["distill", "--base_model_name", "x/y"], ["init"]])
def test_a_home_where_nobody_can_write_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("DISTILL_HOME", "/proc/distill")
    with pytest.raises(SystemExit):
        main(arguments)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("HomeError: DISTILL_HOME=/proc/distill: /proc/distill can't be written to: ")


def test_a_home_of_somebody_else_can_be_looked_at_and_not_run_in(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.recipes.mkdir(parents=True)
    (home.recipes / "healthy.yaml").write_text(HEALTHY)
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    modes = {path: path.stat().st_mode for path in (home.root, home.recipes)}
    for path in modes:
        path.chmod(0o555)
    try:
        with nobody(home.root):
            for command in ("recipes", "plan"):
                main([command])
                assert "healthy" in capsys.readouterr().out
            with pytest.raises(SystemExit):
                main(["run", "healthy"])
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    [line] = capsys.readouterr().err.splitlines()
    assert "can't be written to: Permission denied; ask its owner" in line


def test_a_lock_of_somebody_else_counts_as_held(home: Home) -> None:
    lock = home.root / "store" / "vocabulary" / f".{'0' * 64}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch(0o400)
    with nobody(home.root):
        assert "a run that no recipe explains is making vocabulary 0000" in find_leftovers(home).obstacles[0]


def test_one_stage_of_somebody_else_is_found_before_any_work(home: Home) -> None:
    home.root.mkdir()
    (home.root / "store" / "vocabulary").mkdir(parents=True)
    home.check_writable()
    (home.root / "store" / "vocabulary").chmod(0o555)
    (home.root / "store").chmod(0o777)
    home.root.chmod(0o777)
    with nobody(home.root), pytest.raises(HomeError, match="store/vocabulary can't be written to"):
        home.check_writable()

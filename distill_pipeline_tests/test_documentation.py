"""Every command and every Python block in README and docs works as it stands there, on tiny teachers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distill_pipeline_tests import PROJECT, documentation
from distill_pipeline_tests.documentation import PAGES, commands


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, str]]:
    """What came of each command, all run one after another in one process of their own."""
    folder = tmp_path_factory.mktemp("documented")
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    command = [sys.executable, "-m", "distill_pipeline_tests.documentation", str(folder)]
    ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert ended.returncode == 0, ended.stderr
    found: list[tuple[str, str, str]] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_every_documented_command_works(outcomes: list[tuple[str, str, str]]) -> None:
    assert len(outcomes) == len(list(commands())) > 40
    failed = [f"{page}: {command}\n{problem}" for page, command, problem in outcomes if problem]
    assert not failed, "\n\n".join(failed)


def test_what_make_was_given_for_the_tests_reaches_no_documented_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(documentation, "_run_command_line", ran.append)
    monkeypatch.setenv("ARGS", "--durations=5")
    monkeypatch.setenv("MAKEFLAGS", " -- ARGS=--durations=5")
    documentation.run("make run RECIPE=tiny", tmp_path, {})
    assert ran == [["run", "tiny"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing

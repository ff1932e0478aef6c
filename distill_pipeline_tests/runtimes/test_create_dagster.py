"""A project that create-dagster makes, with this package's component in it, checked and run by `dg`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline_tests import PROJECT
from distill_pipeline_tests.defs.project import fill
from distill_pipeline_tests.runtimes.environments import install_python
from distill_pipeline_tests.runtimes.pins import CREATE_DAGSTER

pytestmark = [pytest.mark.runtimes]


def test_a_new_project_with_two_components_is_checked_listed_and_run(
    tmp_path: Path, small_recipe: Callable[..., Recipe]
) -> None:
    install_python(tmp_path, [CREATE_DAGSTER])
    _run([".venv/bin/create-dagster", "project", "somebody", "--no-uv-sync"], tmp_path)
    project = tmp_path / "somebody"
    homes = fill(project / "src" / "somebody" / "defs", project, small_recipe)
    dg = [sys.executable, "-m", "dagster_dg_cli.cli"]
    _run([*dg, "check", "defs"], project)
    listed = json.loads(_run([*dg, "list", "defs", "--json"], project))
    keys = {asset["asset_key"] for asset in listed["assets"]}
    assert {"docs/static_model", "shop/small/hub_release", "docs/teacher", "search_index"} <= keys
    _run([*dg, "launch", "--job", "shop_small_distill", "--partition", "other"], project)
    assert (homes["shop/small"].releases / "other" / "model.safetensors").is_file()


def _run(command: list[str], folder: Path) -> str:
    """Run a command as in the project's own environment, which would hold this package."""
    paths = os.pathsep.join([str(folder / "src"), str(PROJECT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "DAGSTER_HOME": str(folder), "DAGSTER_DISABLE_TELEMETRY": "1"}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert ended.returncode == 0, f"{' '.join(command)}: {(ended.stdout + ended.stderr)[-3000:]}"
    return ended.stdout

"""What docs/extending.md shows works as it stands there: a weighting, a refinement and an asset, one file each."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distill_pipeline.recipe import RecipeError
from distill_pipeline.recipe_reading import make_recipe
from distill_pipeline_tests import PROJECT

_EXAMPLE = re.compile(r"```python\n(?P<code>.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with each of the guide's files in it, and the guide's test."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        PROJECT / "distill_pipeline", folder / "distill_pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    guide = (PROJECT / "docs" / "extending.md").read_text(encoding="utf-8")
    for example in _EXAMPLE.finditer(guide):
        first, code = example["code"].split("\n", 1)
        path = folder / first.removeprefix("# ") if first.startswith("# ") else folder / "test_log.py"
        assert not path.exists()
        path.write_text(code, encoding="utf-8")
    return folder


def _python(folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(  # noqa: S603
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guides_own_test_passes(copy: Path) -> None:
    assert "1 passed" in _python(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_log.py")


def test_the_guides_weighting_refinement_and_asset_run_in_the_chain(copy: Path, bert: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "recipes").mkdir(parents=True)
    recipe = f"teacher: {bert}\nvocabulary_words: 100\npca_dims: 8\nweighting: log\n"
    (home / "recipes" / "plain.yaml").write_text(recipe + "refinement: none\n")
    (home / "recipes" / "fitted.yaml").write_text(recipe + "refinement: evaluation\n")
    environment = {"DISTILL_HOME": str(home), "DAGSTER_HOME": ""}
    materialise = """
import sys, dagster as dg
from distill_pipeline.definitions import defs
selection = dg.AssetSelection.assets("static_model", "vocabulary_sample").upstream()
graph = defs.resolve_implicit_global_asset_job_def().asset_layer.asset_graph
for name in ("plain", "fitted"):
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        partition_key=name, asset_selection=list(selection.resolve(graph)), instance=dg.DagsterInstance.ephemeral()
    )
    events = {e.asset_key.path[-1]: e.materialization.metadata for e in result.get_asset_materialization_events()}
    print(name, len(events), len(events["vocabulary_sample"]["tokens"].value))
"""
    said = _python(copy, "-c", materialise, **environment)
    assert [line.split() for line in said.splitlines()] == [["plain", "6", "20"], ["fitted", "6", "20"]]


def test_a_weighting_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(RecipeError, match=r"use one of auto, .*zipf\. Did you mean frequency\?"):
        make_recipe({"name": "a", "teacher": "MINILM_EMBEDDED", "weighting": "frequencies"}, source="test")
    with pytest.raises(RecipeError, match=r"refinement='generate': use one of none, .*generated\. Did you mean"):
        make_recipe({"name": "a", "teacher": "MINILM_EMBEDDED", "refinement": "generate"}, source="test")

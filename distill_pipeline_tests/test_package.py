"""A wheel built of the checkout works without it: the recipes are in it, and the home is where one works."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from distill_pipeline.chain.stages import STAGES
from distill_pipeline.recipe.presets import SHIPPED_RECIPES
from distill_pipeline_tests import PROJECT

_SCRIPT = """
import sys
from importlib.metadata import distribution
[script] = distribution("distill-pipeline").entry_points.select(group="console_scripts", name="distill-pipeline")
sys.argv[0] = script.name
script.load()()
"""
"""What an installer writes as `bin/distill-pipeline`."""

Run = Callable[..., str]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the wheel in it; the dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("package")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True, timeout=60)  # noqa: S603
    venv.create(folder / "venv")
    [wheel] = folder.glob("*.whl")
    site_packages = _site_packages(folder / "venv")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(site_packages)
    # A folder that a .pth names is searched, but its own .pth files, the checkout's among them, are not read.
    (site_packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder / "venv"


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Run:
    """Runs Python code there in an empty working folder and returns what it printed."""
    (tmp_path / "working").mkdir()
    variables = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hub"), "PYTHONDONTWRITEBYTECODE": "1"}

    def run_code(code: str, *arguments: str) -> str:
        command = [str(environment / "bin" / "python"), "-c", code, *arguments]
        return subprocess.run(  # noqa: S603
            command, cwd=tmp_path / "working", env=variables, check=True, stdout=subprocess.PIPE, text=True, timeout=60
        ).stdout

    return run_code


def _site_packages(environment: Path) -> Path:
    [folder] = environment.glob("lib/python*/site-packages")
    return folder


def test_a_wheel_is_imported_from_its_own_environment_with_all_of_its_data(environment: Path, run: Run) -> None:
    package = _site_packages(environment) / "distill_pipeline"
    assert Path(run("import distill_pipeline; print(distill_pipeline.__file__)").strip()) == package / "__init__.py"
    for name in ("py.typed", "data/evaluation_texts.txt", "api.py"):
        assert (package / name).read_bytes() == (PROJECT / "distill_pipeline" / name).read_bytes()
    assert not list(_site_packages(environment).glob("distill_pipeline_tests"))
    [licence] = _site_packages(environment).glob("distill_pipeline-*.dist-info/licenses/LICENSE")
    assert "MIT" in licence.read_text(encoding="utf-8")


def test_an_installed_package_has_the_shipped_recipes_and_keeps_its_home_where_one_works(
    environment: Path, run: Run, tmp_path: Path
) -> None:
    before = sorted(environment.rglob("*"))
    listed = [line.split() for line in run(_SCRIPT, "recipes").splitlines()]
    shipped = {path.stem for path in SHIPPED_RECIPES.glob("*.yaml")}
    assert "minilm-256" in shipped
    assert {words[0] for words in listed[: len(shipped)]} == shipped
    assert ["minilm-256", "sentence-transformers/all-MiniLM-L6-v2,", "256", "dims"] in listed

    planned = [line.split()[:2] for line in run(_SCRIPT, "plan", "minilm-256").splitlines()]
    assert planned == [[stage, "missing"] for stage in STAGES]
    run(_SCRIPT, "init")
    assert [path.name for path in (tmp_path / "working").iterdir()] == [".distill"]
    assert (tmp_path / "working" / ".distill" / "dagster" / "dagster.yaml").is_file()
    assert sorted(environment.rglob("*")) == before


def test_an_installed_package_names_pip_where_an_extra_is_missing(run: Run) -> None:
    hint = "from distill_pipeline.errors import install_hint; print(install_hint('ray'))"
    assert run(hint).strip() == "pip install 'distill-pipeline[ray]'"

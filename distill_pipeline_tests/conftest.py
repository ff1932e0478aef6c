"""What all tests share: two tiny real teachers built once, and a home of its own for each test."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

# SQLite waits for the disk at each of a run's some five hundred commits and closings, which a folder in memory doesn't
# (measured on one machine: 8 ms, and 0.2).
_MEMORY, _ROOM = Path("/dev/shm"), 4_000_000_000  # noqa: S108 -- pytest makes folders of its own there
if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)
# Set before Dagster or the Hub's client are imported: no test may see this machine's home, token or the network.
_SCRATCH = tempfile.mkdtemp(prefix="distill-pipeline-tests-")
atexit.register(shutil.rmtree, _SCRATCH, ignore_errors=True)
# Two processes share the tests, and threads that wait for each other on these tiny models only get into their way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DISTILL_HOME"] = str(Path(_SCRATCH) / "distill")
os.environ["HF_HOME"] = str(Path(_SCRATCH) / "huggingface")
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # a GPU's kernels run step by step; Triton reads it when it is imported
os.environ["HF_HUB_DISABLE_XET"] = "1"  # uploads over HTTP, where faults can hit them
for name in ("DAGSTER_HOME", "DISTILL_STORE_URL", "HF_TOKEN"):
    os.environ.pop(name, None)

from distill_pipeline_tests.servers.hub import TOKEN, Hub  # noqa: E402

_HUB = Hub()
os.environ["HF_ENDPOINT"] = _HUB.url

# Dagster reads the partitions' names when it loads the definitions; what they hold is each test's own.
RECIPE_NAMES = ("tiny", "other", "third", "fourth")
_recipes = Path(os.environ["DISTILL_HOME"]) / "recipes"
_recipes.mkdir(parents=True)
for name in RECIPE_NAMES:
    (_recipes / f"{name}.yaml").write_text("teacher: MINILM_EMBEDDED\n", encoding="utf-8")
GRID = "sweep: {pca_dims: [4, 999, 8]}\n"
"""A sweep's three recipes, the second of which no tiny teacher has the dimensions for."""
(_recipes / "grid.yaml").write_text(f"teacher: MINILM_EMBEDDED\n{GRID}", encoding="utf-8")

from distill_pipeline.chain.home import Home  # noqa: E402
from distill_pipeline.recipe.reading import make_recipe  # noqa: E402
from distill_pipeline.recipe.recipe import Recipe  # noqa: E402
from distill_pipeline_tests.running import Chain  # noqa: E402
from distill_pipeline_tests.servers.bucket import Bucket, S3Server  # noqa: E402
from distill_pipeline_tests.shortened import do_less  # noqa: E402
from distill_pipeline_tests.teachers import build_bert, build_modernbert, build_unigram  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file, so that of two processes none waits for the other at the end."""
    items.sort(key=lambda item: item.path.name != "test_documentation.py")


@pytest.fixture(scope="session", autouse=True)
def less_is_done() -> Iterator[None]:
    """Runs count and draw fewer words, and measure speeds for less long."""
    with pytest.MonkeyPatch.context() as patch:
        do_less(patch)
        yield


@pytest.fixture(scope="session")
def modernbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ModernBERT teacher with a byte-level BPE tokenizer."""
    return build_modernbert(tmp_path_factory.mktemp("teachers") / "tiny-modernbert")


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT teacher with a WordPiece tokenizer."""
    return build_bert(tmp_path_factory.mktemp("teachers") / "tiny-bert")


@pytest.fixture(scope="session")
def unigram(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT teacher with a Unigram tokenizer."""
    return build_unigram(tmp_path_factory.mktemp("teachers") / "tiny-unigram")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home."""
    return Home(tmp_path / "home")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub on loopback, and a token that may write to it."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    _HUB.reset()
    yield _HUB
    _HUB.reset()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server on loopback."""
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, and credentials that may use it."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.make_bucket()


@pytest.fixture(scope="session")
def small_recipe(modernbert: Path) -> Callable[..., Recipe]:
    """Makes recipes for the tiny ModernBERT in float32: few words, texts and dimensions, and a short report."""

    def make(**fields: Any) -> Recipe:
        small: dict[str, Any] = {"pca_dims": 8, "vocabulary_words": 300, "max_regression": 2}
        small |= {"refinement": "generated", "generated_texts": 300, "dictionary_texts": 0}
        # Every test would measure model2vec's student too, and all three on thousands of texts.
        small |= {"compare_with_model2vec": False, "labelled_sets": []}
        # To settle it, a teacher runs a sample in both, and in bfloat16 more slowly on most processors.
        small |= {"precision": "float32"}
        return make_recipe({"name": "tiny", "teacher": str(modernbert), **small, **fields}, source="test")

    return make


@pytest.fixture
def recipe(small_recipe: Callable[..., Recipe]) -> Callable[..., Recipe]:
    """Makes recipes, see `small_recipe`."""
    return small_recipe


@pytest.fixture
def chain(home: Home) -> Iterator[Chain]:
    """Runs assets with a real Dagster instance in the empty home."""
    with Chain(home) as running:
        yield running


@pytest.fixture(scope="session")
def finished_home(small_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where the small recipe was run; tests get copies of it."""
    root = tmp_path_factory.mktemp("finished") / "home"
    with Chain(Home(root)) as running:
        running.run(small_recipe())
    return root


@pytest.fixture
def finished(finished_home: Path, home: Home) -> Iterator[Chain]:
    """Runs assets in a home where the small recipe was run already."""
    for folder in ("recipes", "releases", "store"):
        shutil.copytree(finished_home / folder, home.root / folder)
    with Chain(home) as running:
        yield running

"""Each runtime that the card names gives the golden vectors, as the card says, from a release on a Hub."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import STAGES
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.gate import read_report
from distill_pipeline.release.ingredients import gather
from distill_pipeline.release.release import prepare
from distill_pipeline.release.snippets import Snippet
from distill_pipeline.student.folder import read_golden
from distill_pipeline_tests.running import Chain
from distill_pipeline_tests.runtimes.conftest import DIFFERENCES
from distill_pipeline_tests.runtimes.environments import Environment
from distill_pipeline_tests.runtimes.pins import PACKAGES
from distill_pipeline_tests.servers.hub import Hub

TOLERANCE = 1e-3
INT8_TOLERANCE = 1e-2

pytestmark = [pytest.mark.runtimes]

Vectors = npt.NDArray[np.float64]
Release = tuple[Path, str]


@pytest.fixture(scope="module")
def release(small_recipe: Callable[..., Recipe], bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release with phrases and ONNX files, and the URL of a Hub that has it as me/tiny."""
    folder = tmp_path_factory.mktemp("runtimes")
    lines = [f"the old town hall of {place} opens in spring, 東京都に住む猫" for place in ("ulm", "bern", "graz") * 100]
    (folder / "corpus.txt").write_text("\n".join(f"{line} {n}" for n, line in enumerate(lines)), encoding="utf-8")
    recipe = small_recipe(
        teacher=str(bert), refinement="corpus", corpus=[str(folder / "corpus.txt")], phrases=50,
        words=["東京都", "naïve", "café"], variants="onnx,router", repository="me/tiny",
    )  # fmt: skip
    home = Home(folder / "home")
    with Chain(home) as chain:
        chain.run(recipe, list(STAGES)[:-1])
    ingredients = gather(home.store, recipe, find_teacher(home, recipe))
    (folder / "release").mkdir()
    report = read_report((ingredients.quality.folder / "quality.json").read_bytes())
    prepare(folder / "release", ingredients, report or {}, (), "")
    files = [path for path in (folder / "release").rglob("*") if path.is_file()]
    hub = Hub()
    hub.create("me/tiny", {path.relative_to(folder / "release").as_posix(): path.read_bytes() for path in files})
    return folder / "release", hub.url


def card_snippets(folder: Path) -> Iterator[Snippet]:
    """Yield the snippets that stand in a card, model2vec's first."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    [first] = re.findall(r"```python\n(from model2vec.*?embeddings = .*?)```", card.partition("##")[0], re.DOTALL)
    yield Snippet("model2vec", re.sub(r"encode\(.*?\)", "encode(texts)", first))
    pattern = r"### (.*?)\n\n```(python|js)\n(.*?)```\n(?:\n([^#]*?)\n\n)?"
    for runtime, language, code, note in re.findall(pattern, card, re.DOTALL):
        yield Snippet(runtime, code, note, language)


def find_snippet(release: Release, runtime: str) -> Snippet:
    if runtime == "transformers.js" and shutil.which("npm") is None:
        pytest.skip("needs Debian's packages nodejs and npm")
    return {snippet.runtime: snippet for snippet in card_snippets(release[0])}[runtime]


def largest_difference(found: list[list[float | None]], golden: Vectors, *, nan_without_words: bool) -> float:
    """Return the largest difference of two vectors' numbers; JSON has null for NaN."""
    vectors = np.array(found, dtype=np.float64)
    known = golden.any(axis=1)
    assert np.isfinite(vectors[known]).all()
    assert nan_without_words or np.isfinite(vectors).all()
    return float(np.abs(vectors - golden)[known if nan_without_words else slice(None)].max())


def test_the_golden_texts_hold_what_breaks_tokenizers(release: Release) -> None:
    texts, golden = read_golden(release[0])
    assert {"", " "} < {text for text, row in zip(texts, golden, strict=True) if not row.any()}
    assert any("\u0308" in text for text in texts)
    assert any(len(text) == 200 and text.startswith("https://") for text in texts)
    assert sum("not x" in text for text in texts) == 3, "phrases between words, and the same within one"


@pytest.mark.parametrize("runtime", PACKAGES)
def test_a_runtime_gives_the_golden_vectors(
    release: Release, runtime: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    snippet = find_snippet(release, runtime)
    texts, golden = read_golden(release[0])
    environment = Environment.install(tmp_path / "environment", runtime)
    embeddings, found = environment.run(snippet, (texts, texts[1]), release[1])
    difference = largest_difference(embeddings, golden.astype(np.float64), nan_without_words="NaN" in snippet.note)
    pytestconfig.stash[DIFFERENCES][runtime] = f"{difference:.1e}"
    assert difference < TOLERANCE
    if "found" in snippet.code:
        # By similarity: of texts that are nearly alike, such as "a" and many of it, either may come first.
        similar = golden @ golden[1]
        named = [texts.index(text) for text in found or ()]
        assert similar[named] == pytest.approx(np.sort(similar)[:-4:-1], abs=TOLERANCE)


def test_the_other_forms_of_the_onnx_file_do_so_too_and_so_do_pipelines(
    release: Release, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    snippet = find_snippet(release, "transformers.js")
    texts, golden = read_golden(release[0])
    environment = Environment.install(tmp_path / "environment", "transformers.js")
    pipeline = """\
import { pipeline } from "@huggingface/transformers";
const extract = await pipeline("feature-extraction", "me/tiny");
const embeddings = (await extract(texts, { pooling: "mean", normalize: true })).tolist();
"""
    forms = {dtype: snippet.code.replace('"fp32"', f'"{dtype}"') for dtype in ("fp16", "q8")} | {"pipeline": pipeline}
    for form, code in forms.items():
        embeddings, _ = environment.run(replace(snippet, code=code), (texts, ""), release[1])
        found = largest_difference(embeddings, golden.astype(np.float64), nan_without_words=form == "pipeline")
        pytestconfig.stash[DIFFERENCES][f"transformers.js, {form}"] = f"{found:.1e}"
        assert found < (INT8_TOLERANCE if form == "q8" else TOLERANCE)

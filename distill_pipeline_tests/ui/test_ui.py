"""A recipe's way through the UI: the graph, the launchpad, the run, its pictures and its checks.

Debian's chromium shows the UI; each picture of the screen is kept in `$SCREENSHOTS`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from distill_pipeline.chain.stages import STAGES
from distill_pipeline.figures.captions import SIMILARITIES, VARIANCE, WEIGHTS
from distill_pipeline_tests.ui.served import served

CHROMIUM = shutil.which("chromium")
RECIPE = os.environ.get("UI_RECIPE", "quick")
QUICK = (
    "teacher: MINILM_EMBEDDED\nvocabulary_words: 2000\ndictionary_texts: 0\ngenerated_texts: 1000\nlabelled_sets: []\n"
)
"""Half a minute's recipe; the README's pictures are of a shipped one."""
RUN_SECONDS = 900
ORDINARY, WIDE = ViewportSize(width=1440, height=900), ViewportSize(width=1800, height=800)
PICTURES = (("student_matrix", VARIANCE), ("student_matrix", WEIGHTS), ("quality_report", SIMILARITIES))

pytestmark = [pytest.mark.ui, pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")]


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a UI over a home that holds the quick recipe alone."""
    folder = tmp_path_factory.mktemp("ui")
    recipes = folder / "distill" / "recipes"
    recipes.mkdir(parents=True)
    (recipes / "quick.yaml").write_text(QUICK)
    with served(folder) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, headless."""
    with sync_playwright() as playwright:
        # CI runs as root, where chromium's sandbox does not work; it opens nothing but this machine's own pages.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A window of an ordinary size."""
    opened = browser.new_page(viewport=ORDINARY)
    opened.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    yield opened
    opened.close()


@pytest.fixture
def keep(page: Page, tmp_path: Path) -> Callable[[str], None]:
    """Keeps what the window shows as a picture."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)

    def shoot(name: str) -> None:
        page.wait_for_timeout(1500)  # the UI moves into place
        page.screenshot(path=folder / f"ui-{name}.png")

    return shoot


def test_a_recipe_goes_from_the_launchpad_to_its_pictures_and_checks(
    ui: str, page: Page, keep: Callable[[str], None]
) -> None:
    _see_the_graph(ui, page)
    keep("graph")
    page.set_viewport_size(ORDINARY)
    _launch(ui, page)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=RUN_SECONDS * 1000)
    keep("run")
    for asset, name in PICTURES:
        _open_picture(ui, page, asset, name)
        keep(name)
    page.goto(f"{ui}/assets/quality_report?view=checks")
    expect(page.get_by_text("floors_are_reached").first).to_be_visible()
    expect(page.get_by_text("Passed", exact=True).first).to_be_visible()
    keep("checks")


def _see_the_graph(ui: str, page: Page) -> None:
    page.goto(f"{ui}/asset-groups")
    page.get_by_role("button", name="Hide navigation").click()
    page.set_viewport_size(WIDE)
    page.reload()  # it fits the graph into the window when it opens
    for stage in STAGES:  # a button's name begins with the stage's state ("missing", "materialized") once that is known
        expect(page.get_by_role("button", name=re.compile(rf"\b{stage}\b"))).to_be_visible()


def _launch(ui: str, page: Page) -> None:
    """Launch the recipe's run from the job's launchpad, which shows the run."""
    page.goto(f"{ui}/locations/distill_pipeline/jobs/distill/playground")
    partition = page.get_by_placeholder("Partition")
    partition.click()
    partition.fill(RECIPE)
    page.get_by_text(RECIPE, exact=True).first.click()
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))


def _open_picture(ui: str, page: Page, asset: str, name: str) -> None:
    """Open a picture among an asset's metadata, and see that the browser could draw it."""
    page.goto(f"{ui}/assets/{asset}?view=partitions&partition={RECIPE}")
    row = page.get_by_role("row").filter(has=page.get_by_text(name, exact=True))
    row.get_by_text("[Show Markdown]").click()
    picture = page.get_by_role("dialog").locator("img[src^='data:image/png']")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 300

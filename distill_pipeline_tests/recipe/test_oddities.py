"""Nothing but a recipe's own run suffers from a recipe's file, whatever that is."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from distill_pipeline.chain.gc import find_leftovers
from distill_pipeline.chain.home import Home
from distill_pipeline.chain.plan import plan_recipes
from distill_pipeline.cli.main import main
from distill_pipeline.defs.resources import load_partitions
from distill_pipeline.errors import RecipeError
from distill_pipeline.recipe.yaml_file import MAX_BYTES
from distill_pipeline_tests.recipe.oddities import CONTENTS, HEALTHY, PATHS, mutations, nobody, of_fields

UNEXPECTED = re.compile(r": \w+(Error|Exception): ")
"""In a line about an error that nobody foresaw."""


@pytest.fixture(autouse=True)
def _nothing_hangs() -> Iterator[None]:
    """End a test that waits for ever, as for the writer of a FIFO."""
    signal.alarm(300)
    yield
    signal.alarm(0)


@pytest.fixture
def home(home: Home) -> Home:
    """A home with a healthy recipe."""
    home.recipes.mkdir(parents=True)
    (home.recipes / "healthy.yaml").write_text(HEALTHY)
    return home


def _all_is_well(home: Home, path: Path, *, left_out: bool | None = True) -> None:
    """Check that a file ends nothing, and says in lines of its own why it is left out, if it is."""
    recipes, problems = home.load_recipes()
    assert home.recipe("healthy") == recipes["healthy"]
    assert "healthy" not in home.sweeps()
    if left_out is not None:
        assert bool(problems) == left_out
    for line in "\n".join(problems).splitlines():
        assert line.startswith(f"{path}")
        assert not UNEXPECTED.search(line)
        assert line.isprintable()
        line.encode()
    for name in recipes.keys() - {"healthy"}:
        assert home.recipe(name) == recipes[name]


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_that_is_no_recipe_is_left_out_with_the_reason(home: Home, name: str) -> None:
    path = home.recipes / "odd.yaml"
    path.write_bytes(CONTENTS[name])
    _all_is_well(home, path, left_out=None if name in {"long-path", "four-thousand-digits"} else True)


@pytest.mark.parametrize("name", PATHS)
def test_what_is_no_readable_file_is_left_out_with_the_reason_and_gc_keeps_all(
    home: Home, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home.recipes / "odd.yaml"
    PATHS[name](path)
    _all_is_well(home, path)
    assert find_leftovers(home).obstacles == home.load_recipes()[1]
    assert "healthy" in load_partitions(home).get_partition_keys()
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    main(["recipes"])
    out, err = capsys.readouterr()
    assert "healthy" in out
    assert err.count("left out: ") == 1
    with pytest.raises(SystemExit):
        main(["run", "odd"])
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_an_editor_hides_beside_a_recipe_is_no_recipe(home: Home) -> None:
    PATHS["lock-of-an-editor"](home.recipes / ".#healthy.yaml")
    (home.recipes / ".healthy.yaml").write_bytes(b"b0VIM 9.1\0")
    _all_is_well(home, home.recipes, left_out=False)


@pytest.mark.parametrize("made", ["file", "loop"])
def test_a_folder_of_recipes_that_cannot_be_read_is_told_of_and_gc_keeps_all(tmp_path: Path, made: str) -> None:
    other = Home(tmp_path / "other")
    other.root.mkdir()
    if made == "file":
        other.recipes.write_text("")
        said = "Not a directory"
    else:
        other.recipes.symlink_to("recipes")
        said = "Too many levels"
    recipes, problems = other.load_recipes()
    assert "minilm-256" in recipes
    assert [problem for problem in problems if said in problem] == problems != []
    assert find_leftovers(other).obstacles == problems
    with pytest.raises(RecipeError, match=said):
        other.recipe("mine")


def test_a_file_that_nobody_else_may_read_is_left_out(home: Home) -> None:
    path = home.recipes / "odd.yaml"
    path.write_text(HEALTHY)
    path.chmod(0)
    with nobody(home.root):
        _all_is_well(home, path)


def test_no_generated_file_ends_anything(home: Home) -> None:
    written = [content.encode() for content in of_fields()] + list(mutations(seed=21, count=600))
    paths = [home.recipes / f"odd-{number:05}.yaml" for number in range(len(written))]
    for path, content in zip(paths, written, strict=True):
        path.write_bytes(content)
    recipes, problems = home.load_recipes()
    assert home.recipe("healthy") == recipes["healthy"]
    lines = "\n".join(problems).splitlines()
    assert not [line for line in lines if UNEXPECTED.search(line) or not line.isprintable()]
    told_of = {line.split(":")[0].split(",")[0] for line in lines}
    assert told_of <= {str(path) for path in paths}
    for path in paths:
        assert (str(path) in told_of) != any(name.startswith(path.stem) for name in recipes)
    assert len(told_of) > 3000
    assert len(recipes) > 100
    plans = plan_recipes(home, recipes.values())
    assert {planned.recipe for planned in plans} == recipes.keys()
    assert not [planned.problem for planned in plans if UNEXPECTED.search(planned.problem)]
    assert {planned.state for planned in plans} == {"missing", "unknown"}


def test_a_broken_file_does_not_hide_a_recipe_whose_name_begins_with_its_own(home: Home) -> None:
    (home.recipes / "wide.yaml").write_text(f"{HEALTHY.replace('pca_dims: 8', '')}sweep: {{pca_dims: [4, 0.5]}}\n")
    (home.recipes / "wide.dims-0.yaml").write_text("teacher: [\n")
    assert home.recipe("wide.dims-0.5").pca_dims == 0.5
    with pytest.raises(RecipeError, match="not readable as YAML"):
        home.recipe("wide.dims-0")


def test_a_recipe_is_as_long_as_its_list_of_words_up_to_a_bound(home: Home) -> None:
    path = home.recipes / "odd.yaml"
    words = ", ".join(f"word{number}" for number in range(20_000))
    path.write_text(f"{HEALTHY}words: [{words}]\n")
    assert len(home.recipe("odd").words) == 20_000  # type: ignore[arg-type]
    path.write_text(f"{HEALTHY}words: [{'x' * MAX_BYTES}]\n")
    _all_is_well(home, path)

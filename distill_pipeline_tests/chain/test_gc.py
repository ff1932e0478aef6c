"""Housekeeping: what a recipe or a run may need stays, everything else goes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from distill_pipeline.chain.baseline import baseline_key
from distill_pipeline.chain.gc import find_leftovers, sizes
from distill_pipeline.chain.home import Home
from distill_pipeline.chain.plan import plan_recipes
from distill_pipeline.chain.stages import STAGES, model2vec_student_key
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.cli.main import main
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.locks import locked
from distill_pipeline_tests.chain.filled import clean, files_stored, fill, keys_of, leave_something, stored, write

MakeRecipe = Callable[..., Recipe]


def test_only_what_no_recipe_reaches_goes_with_its_locks_and_records(home: Home, recipe: MakeRecipe) -> None:
    kept, gone = fill(home, recipe()), fill(home, recipe(name="other", pca_dims=4))
    (home.recipes / "other.yaml").unlink()
    own = [key for key in gone if key not in kept]
    of_student = {"student_matrix", "static_model", "quality_report", "hub_release"}
    assert {key.stage for key in own} == {*of_student, "student_cuts", "pictures"}

    findings = clean(home)
    assert all(stored(home, kept))
    assert not any(stored(home, own))
    assert {leftover.kind for leftover in findings.leftovers} == {"output", "record"}
    assert sum(leftover.bytes for leftover in findings.leftovers) > 1000 * len(own)
    assert not any(home.store.lock(key).exists() for key in own)
    assert [path.name for path in home.store.records.iterdir()] == ["tiny"]
    assert not find_leftovers(home).leftovers


def test_verdicts_go_with_their_outputs_and_half_written_ones_in_any_case(home: Home, recipe: MakeRecipe) -> None:
    kept, gone = fill(home, recipe()), fill(home, recipe(name="other", pca_dims=4))
    (home.recipes / "other.yaml").unlink()
    for key in [*kept, *gone]:
        home.store.verdict(key).write_text("{}")
    half = home.store.verdict(kept[0])
    half.with_name(f".{half.name}.0f3a.partial").write_text("{")
    clean(home)
    left = {path for path in home.store.root.rglob("*") if ".verdict" in path.name}
    assert left == {home.store.verdict(key) for key in kept}
    assert not find_leftovers(home).leftovers


def test_what_a_recipe_is_compared_with_stays_though_another_recipe_had_it_made(home: Home, recipe: MakeRecipe) -> None:
    """A cached report runs no comparison, so nothing is recorded for the recipe that found it."""
    wanted = recipe(compare_with_model2vec=True)
    fill(home, wanted)
    key = baseline_key(wanted, find_teacher(home, wanted).identity, 8)
    assert key is not None
    student = model2vec_student_key(keys_of(home, wanted)["token_embeddings"])
    for made in (key, student):
        home.store.get_or_make(made, write)
    clean(home)
    assert all(stored(home, [key, student]))

    home.save_recipe(recipe(compare_with_model2vec=False))
    clean(home)
    assert not any(stored(home, [key, student]))


def test_a_dry_run_changes_nothing(home: Home, recipe: MakeRecipe) -> None:
    keys = fill(home, recipe())
    (home.recipes / "tiny.yaml").unlink()
    before = sorted(home.root.rglob("*"))
    assert find_leftovers(home).leftovers
    assert sorted(home.root.rglob("*")) == before
    assert all(stored(home, keys))


def test_what_a_changed_recipe_was_last_made_of_stays_until_it_is_made_anew(home: Home, recipe: MakeRecipe) -> None:
    old = fill(home, recipe())
    home.save_recipe(recipe(pca_dims=4))
    clean(home)
    assert all(stored(home, old))
    new = fill(home, recipe(pca_dims=4))
    clean(home)
    assert [key.stage for key in old if not home.store.contains(key)] == [
        *("student_matrix", "static_model", "quality_report", "hub_release", "student_cuts", *["pictures"] * 3)
    ]
    assert all(stored(home, new))


@pytest.mark.parametrize("broken", ["teacher: [", "teacher: MINILM_EMBEDDED\npca_dim: 4\n"])
def test_nothing_goes_while_a_recipe_file_cant_be_read(home: Home, recipe: MakeRecipe, broken: str) -> None:
    fill(home, recipe())
    leave_something(home, recipe)
    before = files_stored(home)
    (home.recipes / "other.yaml").write_text(broken)
    findings = clean(home)
    assert files_stored(home) == before
    assert [f"{home.recipes / 'other.yaml'}:" in obstacle for obstacle in findings.obstacles] == [True]
    (home.recipes / "other.yaml").unlink()
    assert clean(home).leftovers


def test_nothing_goes_while_the_teacher_of_a_recipe_that_was_run_is_gone(
    home: Home, recipe: MakeRecipe, bert: Path, tmp_path: Path
) -> None:
    teacher = shutil.copytree(bert, tmp_path / "teacher")
    fill(home, recipe(teacher=str(teacher)))
    leave_something(home, recipe)
    home.save_recipe(recipe(teacher=str(tmp_path / "moved")))
    before = files_stored(home)
    findings = clean(home)
    assert files_stored(home) == before
    [obstacle] = findings.obstacles
    assert obstacle.startswith("tiny: ")
    assert "no Sentence Transformer in this folder" in obstacle
    teacher.rename(tmp_path / "moved")
    assert clean(home).leftovers


def test_nothing_goes_while_a_labelled_set_of_a_recipe_that_was_run_is_gone(home: Home, recipe: MakeRecipe) -> None:
    fill(home, recipe())
    leave_something(home, recipe)
    home.save_recipe(recipe(labelled_sets=["pairs:gone.tsv"]))
    before = files_stored(home)
    findings = clean(home)
    assert files_stored(home) == before
    assert "there is no" in findings.obstacles[0]


def test_nothing_goes_while_words_of_a_recipe_that_was_run_are_gone(
    home: Home, recipe: MakeRecipe, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("pineapple\n")
    fill(home, recipe(words=words))
    leave_something(home, recipe)
    before = files_stored(home)
    words.unlink()
    findings = clean(home)
    assert files_stored(home) == before
    assert "words.txt" in findings.obstacles[0]


def test_a_recipe_that_was_never_run_has_nothing_to_lose(home: Home, recipe: MakeRecipe) -> None:
    """Such as a shipped one whose teacher is on a Hub that can't be reached from here."""
    keys = fill(home, recipe())
    leave_something(home, recipe)
    home.save_recipe(recipe(name="other", labelled_sets=["pairs:gone.tsv"]))
    findings = clean(home)
    assert findings.leftovers
    assert not findings.obstacles
    assert all(stored(home, keys))
    states = {planned.recipe: planned.problem for planned in plan_recipes(home, home.load_recipes()[0].values())}
    assert "there is no" in states["other"]
    assert not states["tiny"]


def test_releases_and_foreign_files_in_the_store_are_never_touched(home: Home, recipe: MakeRecipe) -> None:
    fill(home, recipe())
    (home.releases / "gone").mkdir(parents=True)
    (home.store.root / "static_model" / "notes").mkdir()
    (home.recipes / "tiny.yaml").unlink()
    clean(home)
    assert (home.releases / "gone").is_dir()
    assert (home.store.root / "static_model" / "notes").is_dir()


def test_what_killed_releases_left_goes_unless_it_is_all_there_is(home: Home, recipe: MakeRecipe) -> None:
    fill(home, recipe())
    for name in ("tiny", ".tiny.1234.partial", ".tiny.0f3a.old", ".a.b.0f3a.partial", ".moved.0f3a.old", ".mine"):
        (home.releases / name).mkdir(parents=True)
    (home.releases / ".busy.0f3a.partial").mkdir()
    with locked(home.releases / ".busy.lock", lambda: None):
        clean(home)
    left = {path.name for path in home.releases.iterdir() if path.is_dir()}
    assert left == {"tiny", ".moved.0f3a.old", ".mine", ".busy.0f3a.partial"}


def test_sizes_count_shared_outputs_under_one_address(home: Home, recipe: MakeRecipe) -> None:
    fill(home, recipe())
    fill(home, recipe(name="other", pca_dims=4))
    one, two = sizes(home.store, "tiny"), sizes(home.store, "other")
    assert len(one) == len(two) == len(STAGES) + 5
    assert sum(one.values()) == 12000
    assert sum((one | two).values()) == 20000


def test_the_command_shows_first_and_removes_when_told(
    home: Home, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    keys = fill(home, recipe())
    main(["recipes"])
    listed = capsys.readouterr().out
    assert "static_model 1.0 kB" in listed
    assert "all recipes together" in listed
    (home.recipes / "tiny.yaml").unlink()
    main(["gc"])
    shown = capsys.readouterr().out
    assert keys[0].fingerprint[:12] in shown
    assert "--delete true removes it; 0 outputs stay" in shown
    assert all(stored(home, keys))
    (home.recipes / "other.yaml").write_text("teacher: [")
    for delete, status in (("false", 0), ("true", 1)):
        with pytest.raises(SystemExit) as ended:
            main(["gc", "--delete", delete])
        assert ended.value.code == status
        captured = capsys.readouterr()
        assert not captured.out
        assert "other.yaml" in captured.err
        assert captured.err.endswith("nothing can be removed because of this\n")
    assert all(stored(home, keys))
    (home.recipes / "other.yaml").unlink()
    main(["gc", "--delete", "true"])
    assert "removed; 0 outputs stay" in capsys.readouterr().out
    assert not any(stored(home, keys))


def test_a_shared_store_is_asked_nothing(home: Home, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home, recipe())
    fill(home, recipe(name="other", pca_dims=4))
    (home.recipes / "other.yaml").unlink()
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    monkeypatch.setenv("DISTILL_STORE_URL", "file:///dev/null/no/store")  # any question is an error
    assert len(clean(home).leftovers) == 9
    main(["recipes"])

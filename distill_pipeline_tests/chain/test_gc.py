"""Housekeeping: what a recipe or a run may need stays, everything else goes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from distill_pipeline.chain.baseline import BASELINE_STAGES, baseline_keys
from distill_pipeline.chain.gc import Findings, find_leftovers, remove, sizes
from distill_pipeline.chain.home import Home
from distill_pipeline.chain.plan import plan_recipes
from distill_pipeline.chain.stages import STAGES, stage_keys, teacher_evaluation_key
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.cli.main import main
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey, fingerprint
from distill_pipeline.store.locks import locked

MakeRecipe = Callable[..., Recipe]


def _keys(home: Home, recipe: Recipe) -> Mapping[str, StageKey]:
    return stage_keys(recipe, find_teacher(home, recipe).identity)


def _fill(home: Home, recipe: Recipe) -> list[StageKey]:
    """Store an output of every stage, as a run of the recipe does; returns their keys."""
    home.save_recipe(recipe)
    keys = list(_keys(home, recipe).values())
    for key in keys:
        home.store.get_or_make(key, _write, recipe_name=recipe.name)
    beside = teacher_evaluation_key(keys[list(STAGES).index("quality_report")])
    home.store.get_or_make(beside, _write)
    return [*keys, beside]


def _write(folder: Path) -> dict[str, int]:
    (folder / "rows.bin").write_bytes(b"x" * 1000)
    return {}


def _clean(home: Home) -> Findings:
    findings = find_leftovers(home)
    assert all(remove(home, leftover) for leftover in findings.leftovers)
    return findings


def _stored(home: Home, keys: list[StageKey]) -> list[bool]:
    return [home.store.contains(key) for key in keys]


def test_only_what_no_recipe_reaches_goes_with_its_locks_and_records(home: Home, recipe: MakeRecipe) -> None:
    kept, gone = _fill(home, recipe()), _fill(home, recipe(name="other", pca_dims=4))
    (home.recipes / "other.yaml").unlink()
    own = [key for key in gone if key not in kept]
    assert {key.stage for key in own} == {"student_matrix", "static_model", "quality_report", "hub_release"}

    findings = _clean(home)
    assert all(_stored(home, kept))
    assert not any(_stored(home, own))
    assert {leftover.kind for leftover in findings.leftovers} == {"output", "record"}
    assert sum(leftover.bytes for leftover in findings.leftovers) > 1000 * len(own)
    assert not any(home.store.lock(key).exists() for key in own)
    assert [path.name for path in home.store.records.iterdir()] == ["tiny"]
    assert not find_leftovers(home).leftovers


def test_verdicts_go_with_their_outputs_and_half_written_ones_in_any_case(home: Home, recipe: MakeRecipe) -> None:
    kept, gone = _fill(home, recipe()), _fill(home, recipe(name="other", pca_dims=4))
    (home.recipes / "other.yaml").unlink()
    for key in [*kept, *gone]:
        home.store.verdict(key).write_text("{}")
    half = home.store.verdict(kept[0])
    half.with_name(f".{half.name}.0f3a.partial").write_text("{")
    _clean(home)
    left = {path for path in home.store.root.rglob("*") if ".verdict" in path.name}
    assert left == {home.store.verdict(key) for key in kept}
    assert not find_leftovers(home).leftovers


def test_what_a_recipe_is_compared_with_stays_though_another_recipe_had_it_made(home: Home, recipe: MakeRecipe) -> None:
    """A cached report runs no comparison, so nothing is recorded for the recipe that found it."""
    wanted = recipe(compare_with_model2vec=True)
    _fill(home, wanted)
    keys = baseline_keys(wanted, find_teacher(home, wanted).identity, _keys(home, wanted)["quality_report"])
    assert [key.stage for key in keys] == [*BASELINE_STAGES, "model2vec_evaluation"]
    for key in keys:
        home.store.get_or_make(key, _write)
    _clean(home)
    assert all(_stored(home, keys))

    home.save_recipe(recipe(compare_with_model2vec=False))
    _clean(home)
    assert not any(_stored(home, [key for key in keys if key not in _keys(home, recipe()).values()]))


def test_a_dry_run_changes_nothing(home: Home, recipe: MakeRecipe) -> None:
    keys = _fill(home, recipe())
    (home.recipes / "tiny.yaml").unlink()
    before = sorted(home.root.rglob("*"))
    assert find_leftovers(home).leftovers
    assert sorted(home.root.rglob("*")) == before
    assert all(_stored(home, keys))


def test_what_a_changed_recipe_was_last_made_of_stays_until_it_is_made_anew(home: Home, recipe: MakeRecipe) -> None:
    old = _fill(home, recipe())
    home.save_recipe(recipe(pca_dims=4))
    _clean(home)
    assert all(_stored(home, old))
    new = _fill(home, recipe(pca_dims=4))
    _clean(home)
    assert [key.stage for key in old if not home.store.contains(key)] == [
        *("student_matrix", "static_model", "quality_report", "hub_release")
    ]
    assert all(_stored(home, new))


def _files(home: Home) -> list[Path]:
    return sorted(home.store.root.rglob("*"))


def _leave_something(home: Home, recipe: MakeRecipe) -> None:
    """Store outputs of a recipe that is gone, and an unfinished one of nobody's."""
    _fill(home, recipe(name="gone", pca_dims=2))
    (home.recipes / "gone.yaml").unlink()
    (home.store.root / "static_model" / f".{'0' * 64}.partial").mkdir()


@pytest.mark.parametrize("broken", ["teacher: [", "teacher: MINILM_EMBEDDED\npca_dim: 4\n"])
def test_nothing_goes_while_a_recipe_file_cant_be_read(home: Home, recipe: MakeRecipe, broken: str) -> None:
    _fill(home, recipe())
    _leave_something(home, recipe)
    before = _files(home)
    (home.recipes / "other.yaml").write_text(broken)
    findings = _clean(home)
    assert _files(home) == before
    assert [f"{home.recipes / 'other.yaml'}:" in obstacle for obstacle in findings.obstacles] == [True]
    (home.recipes / "other.yaml").unlink()
    assert _clean(home).leftovers


def test_nothing_goes_while_the_teacher_of_a_recipe_that_was_run_is_gone(
    home: Home, recipe: MakeRecipe, bert: Path, tmp_path: Path
) -> None:
    teacher = shutil.copytree(bert, tmp_path / "teacher")
    _fill(home, recipe(teacher=str(teacher)))
    _leave_something(home, recipe)
    home.save_recipe(recipe(teacher=str(tmp_path / "moved")))
    before = _files(home)
    findings = _clean(home)
    assert _files(home) == before
    [obstacle] = findings.obstacles
    assert obstacle.startswith("tiny: ")
    assert "no Sentence Transformer in this folder" in obstacle
    teacher.rename(tmp_path / "moved")
    assert _clean(home).leftovers


def test_nothing_goes_while_a_labelled_set_of_a_recipe_that_was_run_is_gone(home: Home, recipe: MakeRecipe) -> None:
    _fill(home, recipe())
    _leave_something(home, recipe)
    home.save_recipe(recipe(labelled_sets=["pairs:gone.tsv"]))
    before = _files(home)
    findings = _clean(home)
    assert _files(home) == before
    assert "there is no" in findings.obstacles[0]


def test_nothing_goes_while_words_of_a_recipe_that_was_run_are_gone(
    home: Home, recipe: MakeRecipe, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("pineapple\n")
    _fill(home, recipe(words=words))
    _leave_something(home, recipe)
    before = _files(home)
    words.unlink()
    findings = _clean(home)
    assert _files(home) == before
    assert "words.txt" in findings.obstacles[0]


def test_a_recipe_that_was_never_run_has_nothing_to_lose(home: Home, recipe: MakeRecipe) -> None:
    """Such as a shipped one whose teacher is on a Hub that can't be reached from here."""
    keys = _fill(home, recipe())
    _leave_something(home, recipe)
    home.save_recipe(recipe(name="other", labelled_sets=["pairs:gone.tsv"]))
    findings = _clean(home)
    assert findings.leftovers
    assert not findings.obstacles
    assert all(_stored(home, keys))
    states = {planned.recipe: planned.problem for planned in plan_recipes(home, home.load_recipes()[0].values())}
    assert "there is no" in states["other"]
    assert not states["tiny"]


def test_a_run_in_progress_keeps_its_output_and_what_it_reads(home: Home, recipe: MakeRecipe) -> None:
    keys = _fill(home, recipe())
    running = StageKey("student_matrix", fingerprint({"a": 1}), {"a": 1})
    entered, go = threading.Event(), threading.Event()

    def slow(folder: Path) -> dict[str, int]:
        entered.set()
        assert go.wait(10)
        return _write(folder)

    thread = threading.Thread(target=lambda: home.store.get_or_make(running, slow))
    thread.start()
    assert entered.wait(10)
    (home.recipes / "tiny.yaml").unlink()  # nothing says any more what the run reads
    before = _files(home)
    findings = _clean(home)
    assert _files(home) == before
    go.set()
    thread.join()
    assert home.store.contains(running)
    assert all(_stored(home, keys))
    assert findings.obstacles == [f"a run that no recipe explains is making student_matrix {running.fingerprint[:12]}"]


def test_a_run_that_a_recipe_explains_keeps_what_it_is_making_and_nothing_else(home: Home, recipe: MakeRecipe) -> None:
    _leave_something(home, recipe)
    home.save_recipe(recipe())
    key = _keys(home, recipe())["student_matrix"]

    def clean_meanwhile(folder: Path) -> dict[str, int]:
        _write(folder)
        home.store.folder(key).with_name(f".{key.fingerprint}.123.old").mkdir()  # of an earlier run
        assert _clean(home).leftovers
        return {}

    output, _ = home.store.get_or_make(key, clean_meanwhile)
    assert sorted(output.manifest["files"]) == ["rows.bin"]
    left = [path.name for path in (home.store.root / key.stage).iterdir() if key.fingerprint not in path.name]
    assert left == []


def test_an_output_that_a_recipe_comes_to_need_after_the_look_is_not_removed(home: Home, recipe: MakeRecipe) -> None:
    keys = _fill(home, recipe())
    (home.recipes / "tiny.yaml").unlink()
    leftovers = find_leftovers(home).leftovers
    _fill(home, recipe(name="other"))
    assert not any(remove(home, leftover) for leftover in leftovers if leftover.name == keys[0].fingerprint)
    assert home.store.contains(keys[0])


def test_dead_runs_leave_nothing_but_what_the_next_run_resumes(home: Home, recipe: MakeRecipe) -> None:
    home.save_recipe(recipe())
    keys = _keys(home, recipe())
    wanted, finished = keys["token_embeddings"], keys["static_model"]
    unwanted = StageKey(wanted.stage, fingerprint({"a": 1}), {"a": 1})

    def die(folder: Path) -> dict[str, int]:
        _write(folder)
        raise KeyboardInterrupt

    for key in (wanted, unwanted):
        with pytest.raises(KeyboardInterrupt):
            home.store.get_or_make(key, die, resumable=True)
    home.store.get_or_make(finished, _write)
    replaced = home.store.folder(finished).with_name(f".{finished.fingerprint}.123.old")
    replaced.mkdir()
    stale_lock = home.store.lock(StageKey("static_model", fingerprint({"b": 1}), {}))
    stale_lock.touch()

    _clean(home)
    assert not replaced.exists()
    assert not stale_lock.exists()
    assert home.store.contains(finished)
    left = sorted(path.name for path in (home.store.root / wanted.stage).iterdir())
    assert [name.startswith(f".{wanted.fingerprint}.") for name in left] == [True, True]
    assert [name.rpartition(".")[2] for name in left] in (["lock", "partial"], ["partial", "lock"])


def test_releases_and_foreign_files_in_the_store_are_never_touched(home: Home, recipe: MakeRecipe) -> None:
    _fill(home, recipe())
    (home.releases / "gone").mkdir(parents=True)
    (home.store.root / "static_model" / "notes").mkdir()
    (home.recipes / "tiny.yaml").unlink()
    _clean(home)
    assert (home.releases / "gone").is_dir()
    assert (home.store.root / "static_model" / "notes").is_dir()


def test_what_killed_releases_left_goes_unless_it_is_all_there_is(home: Home, recipe: MakeRecipe) -> None:
    _fill(home, recipe())
    for name in ("tiny", ".tiny.1234.partial", ".tiny.0f3a.old", ".a.b.0f3a.partial", ".moved.0f3a.old", ".mine"):
        (home.releases / name).mkdir(parents=True)
    (home.releases / ".busy.0f3a.partial").mkdir()
    with locked(home.releases / ".busy.lock", lambda: None):
        _clean(home)
    left = {path.name for path in home.releases.iterdir() if path.is_dir()}
    assert left == {"tiny", ".moved.0f3a.old", ".mine", ".busy.0f3a.partial"}


def test_sizes_count_shared_outputs_under_one_address(home: Home, recipe: MakeRecipe) -> None:
    _fill(home, recipe())
    _fill(home, recipe(name="other", pca_dims=4))
    one, two = sizes(home.store, "tiny"), sizes(home.store, "other")
    assert len(one) == len(two) == len(STAGES) + 1
    assert sum(one.values()) == 8000
    assert sum((one | two).values()) == 12000


def test_the_command_shows_first_and_removes_when_told(
    home: Home, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    keys = _fill(home, recipe())
    main(["recipes"])
    listed = capsys.readouterr().out
    assert "static_model 1.0 kB" in listed
    assert "all recipes together" in listed
    (home.recipes / "tiny.yaml").unlink()
    main(["gc"])
    shown = capsys.readouterr().out
    assert keys[0].fingerprint[:12] in shown
    assert "--delete true removes it; 0 outputs stay" in shown
    assert all(_stored(home, keys))
    (home.recipes / "other.yaml").write_text("teacher: [")
    for delete, status in (("false", 0), ("true", 1)):
        with pytest.raises(SystemExit) as ended:
            main(["gc", "--delete", delete])
        assert ended.value.code == status
        captured = capsys.readouterr()
        assert not captured.out
        assert "other.yaml" in captured.err
        assert captured.err.endswith("nothing can be removed because of this\n")
    assert all(_stored(home, keys))
    (home.recipes / "other.yaml").unlink()
    main(["gc", "--delete", "true"])
    assert "removed; 0 outputs stay" in capsys.readouterr().out
    assert not any(_stored(home, keys))


def test_a_shared_store_is_asked_nothing(home: Home, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(home, recipe())
    _fill(home, recipe(name="other", pca_dims=4))
    (home.recipes / "other.yaml").unlink()
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    monkeypatch.setenv("DISTILL_STORE_URL", "file:///dev/null/no/store")  # any question is an error
    assert len(_clean(home).leftovers) == 5
    main(["recipes"])


def test_runs_that_come_and_go_meanwhile_disturb_nobody(
    home: Home, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = _fill(home, recipe())
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            for key in keys[:3]:
                home.store.get_or_make(key, _write, force=True, recipe_name="tiny")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(30):
            assert all(leftover.kind != "output" for leftover in _clean_beside(home).leftovers)
            main(["recipes"])
    finally:
        ended.set()
        thread.join()
    assert all(_stored(home, keys))


def _clean_beside(home: Home) -> Findings:
    findings = find_leftovers(home)
    for leftover in findings.leftovers:
        remove(home, leftover)
    return findings

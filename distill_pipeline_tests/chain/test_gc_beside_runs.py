"""Housekeeping beside runs: what a living one makes or reads stays, and a dead one leaves only what is resumed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from distill_pipeline.chain.gc import Findings, find_leftovers, remove
from distill_pipeline.chain.home import Home
from distill_pipeline.cli.main import main
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey, fingerprint
from distill_pipeline_tests.chain.filled import clean, files_stored, fill, keys_of, leave_something, stored, write

MakeRecipe = Callable[..., Recipe]


def test_a_run_in_progress_keeps_its_output_and_what_it_reads(home: Home, recipe: MakeRecipe) -> None:
    keys = fill(home, recipe())
    running = StageKey("student_matrix", fingerprint({"a": 1}), {"a": 1})
    entered, go = threading.Event(), threading.Event()

    def slow(folder: Path) -> dict[str, int]:
        entered.set()
        assert go.wait(10)
        return write(folder)

    thread = threading.Thread(target=lambda: home.store.get_or_make(running, slow))
    thread.start()
    assert entered.wait(10)
    (home.recipes / "tiny.yaml").unlink()  # nothing says any more what the run reads
    before = files_stored(home)
    findings = clean(home)
    assert files_stored(home) == before
    go.set()
    thread.join()
    assert home.store.contains(running)
    assert all(stored(home, keys))
    assert findings.obstacles == [f"a run that no recipe explains is making student_matrix {running.fingerprint[:12]}"]


def test_a_run_that_a_recipe_explains_keeps_what_it_is_making_and_nothing_else(home: Home, recipe: MakeRecipe) -> None:
    leave_something(home, recipe)
    home.save_recipe(recipe())
    key = keys_of(home, recipe())["student_matrix"]

    def clean_meanwhile(folder: Path) -> dict[str, int]:
        write(folder)
        home.store.folder(key).with_name(f".{key.fingerprint}.123.old").mkdir()  # of an earlier run
        assert clean(home).leftovers
        return {}

    output, _ = home.store.get_or_make(key, clean_meanwhile)
    assert sorted(output.manifest["files"]) == ["rows.bin"]
    left = [path.name for path in (home.store.root / key.stage).iterdir() if key.fingerprint not in path.name]
    assert left == []


def test_an_output_that_a_recipe_comes_to_need_after_the_look_is_not_removed(home: Home, recipe: MakeRecipe) -> None:
    keys = fill(home, recipe())
    (home.recipes / "tiny.yaml").unlink()
    leftovers = find_leftovers(home).leftovers
    fill(home, recipe(name="other"))
    assert not any(remove(home, leftover) for leftover in leftovers if leftover.name == keys[0].fingerprint)
    assert home.store.contains(keys[0])


def test_dead_runs_leave_nothing_but_what_the_next_run_resumes(home: Home, recipe: MakeRecipe) -> None:
    home.save_recipe(recipe())
    keys = keys_of(home, recipe())
    wanted, finished = keys["token_embeddings"], keys["static_model"]
    unwanted = StageKey(wanted.stage, fingerprint({"a": 1}), {"a": 1})

    def die(folder: Path) -> dict[str, int]:
        write(folder)
        raise KeyboardInterrupt

    for key in (wanted, unwanted):
        with pytest.raises(KeyboardInterrupt):
            home.store.get_or_make(key, die, resumable=True)
    home.store.get_or_make(finished, write)
    replaced = home.store.folder(finished).with_name(f".{finished.fingerprint}.123.old")
    replaced.mkdir()
    stale_lock = home.store.lock(StageKey("static_model", fingerprint({"b": 1}), {}))
    stale_lock.touch()

    clean(home)
    assert not replaced.exists()
    assert not stale_lock.exists()
    assert home.store.contains(finished)
    left = sorted(path.name for path in (home.store.root / wanted.stage).iterdir())
    assert [name.startswith(f".{wanted.fingerprint}.") for name in left] == [True, True]
    assert [name.rpartition(".")[2] for name in left] in (["lock", "partial"], ["partial", "lock"])


def test_runs_that_come_and_go_meanwhile_disturb_nobody(
    home: Home, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = fill(home, recipe())
    monkeypatch.setenv("DISTILL_HOME", str(home.root))
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            for key in keys[:3]:
                home.store.get_or_make(key, write, force=True, recipe_name="tiny")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(30):
            assert all(leftover.kind != "output" for leftover in _clean_beside(home).leftovers)
            main(["recipes"])
    finally:
        ended.set()
        thread.join()
    assert all(stored(home, keys))


def _clean_beside(home: Home) -> Findings:
    findings = find_leftovers(home)
    for leftover in findings.leftovers:
        remove(home, leftover)
    return findings

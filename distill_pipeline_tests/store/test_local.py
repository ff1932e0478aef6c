"""The store: whole outputs or none, through kills and races."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from distill_pipeline.store.keys import StageKey, changes, fingerprint
from distill_pipeline.store.local import Store
from distill_pipeline.store.output import OutputDamaged, OutputMissing

KEY = StageKey("student_matrix", fingerprint({"a": 1}), {"recipe": {"a": 1}})


def _write(folder: Path) -> dict[str, int]:
    (folder / "rows.bin").write_bytes(b"12345678")
    return {"rows": 8}


def test_an_output_that_was_never_made_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OutputMissing):
        Store(tmp_path).get(KEY)


def test_a_failing_stage_leaves_no_output(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, int]:
        _write(folder)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        Store(tmp_path).get_or_make(KEY, fail)
    with pytest.raises(OutputMissing):
        Store(tmp_path).get(KEY)


def test_a_resumable_stage_finds_what_it_had_finished(tmp_path: Path) -> None:
    store = Store(tmp_path)
    seen = []

    def twice(folder: Path) -> dict[str, int]:
        seen.append((folder / "part").exists())
        (folder / "part").write_text("done")
        if len(seen) == 1:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        store.get_or_make(KEY, twice, resumable=True)
    store.get_or_make(KEY, twice, resumable=True)
    assert seen == [False, True]


def test_of_two_runs_at_once_one_computes_and_the_other_finds_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entered, go, waiting = threading.Event(), threading.Event(), threading.Event()
    made, hits = [], []

    def slow(folder: Path) -> dict[str, int]:
        made.append(folder)
        entered.set()
        assert go.wait(10)
        return _write(folder)

    def call() -> None:
        hits.append(store.get_or_make(KEY, slow, log=lambda _: waiting.set())[1])

    first = threading.Thread(target=call)
    first.start()
    assert entered.wait(10)
    second = threading.Thread(target=call)
    second.start()
    assert waiting.wait(10)
    go.set()
    first.join()
    second.join()
    assert len(made) == 1
    assert sorted(hits) == [False, True]


def test_an_unexpected_manifest_is_damage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    output, _ = store.get_or_make(KEY, _write)
    (output.folder / "manifest.json").write_text("{}")
    with pytest.raises(OutputDamaged):
        store.get(KEY)


def test_what_changed_is_named() -> None:
    before = {"code_version": "1", "recipe": {"pca_dims": 256, "dtype": "float16"}, "upstream": {"a": "x"}}
    after = {"code_version": "2", "recipe": {"pca_dims": 128, "dtype": "float16"}, "upstream": {"a": "y"}}
    assert changes(before, after) == ["code version: 1 -> 2", "pca_dims: 256 -> 128", "upstream a"]

"""The store: whole outputs or none, through kills and races."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from distill_pipeline.store import disk
from distill_pipeline.store.keys import StageKey, changes
from distill_pipeline.store.local import Store
from distill_pipeline.store.locks import locks_work
from distill_pipeline.store.output import Output, OutputDamaged, OutputMissing

KEY = StageKey.of({"stage": "student_matrix", "recipe": {"a": 1}})


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


def _intact(store: Store) -> bool:
    try:
        return bool(store.get(KEY).facts)
    except OutputDamaged:
        return False


@pytest.mark.parametrize(
    ("told", "instead"),
    [('"rows": 8', '"rows": 9'), ('"a": 1', '"a": 2'), ('"digest"', '"digesu"'), ('"seconds": 0', '"seconds": 1')],
)
def test_a_fact_that_was_changed_in_the_manifest_is_damage(tmp_path: Path, told: str, instead: str) -> None:
    store = Store(tmp_path)
    output, _ = store.get_or_make(KEY, _write)
    manifest = output.folder / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    assert told in text
    manifest.write_text(text.replace(told, instead), encoding="utf-8")
    assert store.manifest(KEY) is None
    assert not [*store.manifests(KEY.stage)]
    assert not _intact(store)
    said: list[str] = []
    assert not store.get_or_make(KEY, _write, log=said.append)[1]
    assert "making it again" in said[0]
    assert _intact(store)


def test_an_output_from_before_manifests_had_a_digest_counts_as_it_did(tmp_path: Path) -> None:
    store = Store(tmp_path)
    output, _ = store.get_or_make(KEY, _write)
    manifest = {name: value for name, value in output.manifest.items() if name != "digest"}
    (output.folder / "manifest.json").write_text(json.dumps(manifest))
    assert store.get_or_make(KEY, _write)[1]


def _no_object(output: Path) -> None:
    (output / "manifest.json").write_text("[1]")


def _empty_object(output: Path) -> None:
    (output / "manifest.json").write_text("{}")


def _odd_files(output: Path) -> None:
    (output / "manifest.json").write_text('{"files": {"rows.bin": 3}}')


def _in_place_of(name: str) -> Callable[[Path], None]:
    def damage(output: Path) -> None:
        path = output / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        (path / "inner").mkdir(parents=True)

    return damage


def _file_in_place_of_the_folder(output: Path) -> None:
    shutil.rmtree(output)
    output.write_text("x")


def _dangling_link(output: Path) -> None:
    shutil.rmtree(output)
    output.symlink_to("nowhere")


def _loop(output: Path) -> None:
    (output / "rows.bin").unlink()
    (output / "rows.bin").symlink_to("rows.bin")


def _lock_is_a_folder(output: Path) -> None:
    lock = output.with_name(f".{output.name}.lock")
    lock.unlink()
    lock.mkdir()
    shutil.rmtree(output)


@pytest.mark.parametrize(
    "damage",
    [
        _no_object,
        _empty_object,
        _odd_files,
        _in_place_of("rows.bin"),
        _in_place_of("manifest.json"),
        _in_place_of(""),
        _in_place_of("../../recipes/tiny/student_matrix.json"),
        _file_in_place_of_the_folder,
        _dangling_link,
        _loop,
        _lock_is_a_folder,
    ],
)
def test_whatever_stands_in_an_outputs_place_it_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store = Store(tmp_path)
    output, _ = store.get_or_make(KEY, _write, recipe_name="tiny")
    damage(output.folder)
    store.get_or_make(KEY, _write, recipe_name="tiny")
    assert store.get(KEY).facts == {"rows": 8}
    assert store.recorded_inputs("tiny", KEY.stage) == KEY.inputs
    assert [path.name for path in output.folder.iterdir() if path.name != "manifest.json"] == ["rows.bin"]
    assert not [path for path in output.folder.parent.iterdir() if path.suffix in {".partial", ".old"}]


def test_a_file_that_the_disk_cant_read_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.get_or_make(KEY, _write)

    def broken(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("distill_pipeline.store.output.sha256_of", broken)
        with pytest.raises(OutputDamaged, match="Input/output error"):
            store.get(KEY)
    assert not store.get_or_make(KEY, _write, force=True)[1]


@pytest.mark.parametrize("instead", ['"a": 2', '"b": 1', "", "[", "{}"])
def test_a_record_that_was_changed_is_none(tmp_path: Path, instead: str) -> None:
    store = Store(tmp_path)
    store.get_or_make(KEY, _write, recipe_name="tiny")
    record = store.records / "tiny" / f"{KEY.stage}.json"
    text = record.read_text()
    record.write_text(text.replace('"a": 1', instead) if ":" in instead else instead)
    assert store.recorded_inputs("tiny", KEY.stage) is None
    store.get_or_make(KEY, _write, recipe_name="tiny")
    assert store.recorded_inputs("tiny", KEY.stage) == KEY.inputs


def test_forced_work_says_whether_its_bytes_are_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    store = Store(tmp_path)
    store.get_or_make(KEY, _write, log=said.append)
    store.get_or_make(KEY, _write, force=True, log=said.append)

    def otherwise(folder: Path) -> dict[str, int]:
        (folder / "rows.bin").write_bytes(b"87654321")
        return {"rows": 8}

    store.get_or_make(KEY, otherwise, force=True, log=said.append)
    assert said == ["the same bytes as before", "other bytes than before: rows.bin"]


def test_a_hit_reads_each_file_once_per_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    output, _ = store.get_or_make(KEY, _write)
    monkeypatch.setattr(disk, "_SETTLED_NS", -(10**12))  # as if it had been made long ago
    read: list[Path] = []

    def reading(path: Path) -> str:
        read.append(path)
        return hashlib.sha256(b"12345678").hexdigest()

    monkeypatch.setattr(disk, "_read_sha256", reading)
    for _ in range(3):
        store.get(KEY)
    assert read == [output.folder / "rows.bin"]
    (output.folder / "rows.bin").write_bytes(b"1234567X")
    store.get(KEY)
    assert len(read) == 2, "it was written to, so it is read again"


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that are given to whoever asks, as on some network file systems."""
    monkeypatch.setattr("fcntl.flock", lambda *_: None)
    locks_work.cache_clear()


@pytest.mark.usefixtures("without_locks")
def test_where_locks_do_nothing_two_runs_at_once_waste_time_and_harm_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    both = threading.Barrier(2, timeout=10)
    said: list[str] = []

    def slow(folder: Path) -> dict[str, int]:
        both.wait()
        assert not [*folder.iterdir()]
        facts = _write(folder)
        both.wait()
        return facts

    outputs: list[Output] = []
    runs = [
        threading.Thread(target=lambda: outputs.append(store.get_or_make(KEY, slow, log=said.append)[0]))
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [(output.folder / "rows.bin").read_bytes() for output in outputs] == [b"12345678"] * 2
    assert store.get(KEY).facts == {"rows": 8}
    assert any("locks do nothing" in line for line in said)


@pytest.mark.usefixtures("without_locks")
def test_where_locks_do_nothing_finished_parts_are_shared_with_an_attempt_that_may_live(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def parts(folder: Path) -> dict[str, int]:
        kept = (folder / "part").exists()
        (folder / "part").write_text("done")
        if not kept:
            store.get_or_make(KEY, parts, resumable=True)  # another one meanwhile
        assert (folder / "part").read_text() == "done"
        return {"kept": kept}

    assert store.get_or_make(KEY, parts, resumable=True)[0].facts == {"kept": False}
    assert _intact(store)

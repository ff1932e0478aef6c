"""A store that machines share, on a real S3 server: whole outputs or none, through kills and damage."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.plan import plan_stages
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import file_table
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store
from distill_pipeline.store.output import OutputDamaged, OutputMissing, sealed
from distill_pipeline.store.remote_folder import RemoteFolder
from distill_pipeline.store.shared import remote_store
from distill_pipeline_tests.running import HITS, Chain
from distill_pipeline_tests.servers.bucket import SECRET, Bucket, for_a_process
from distill_pipeline_tests.store.written import KEY, ROWS, write

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def machines(bucket: Bucket, tmp_path: Path) -> tuple[Store, Store]:
    """The stores of two machines that share a bucket."""
    return Store(tmp_path / "a", remote_store(bucket.url)), Store(tmp_path / "b", remote_store(bucket.url))


def _object(bucket: Bucket, name: str) -> str:
    [key] = [key for key in bucket.objects() if key.endswith(name)]
    return key


def test_a_second_machine_runs_no_teacher(
    bucket: Bucket, tmp_path: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_STORE_URL", bucket.url)
    with Chain(Home(tmp_path / "a")) as first, Chain(Home(tmp_path / "b")) as second:
        assert set(first.cache(first.run(recipe())).values()) == {"computed"}
        cache = second.cache(second.run(recipe()))
        # The registry is each machine's own, so the student is released there too.
        assert cache == {**HITS, "hub_release": "computed"}
        for stage, output in first.outputs(recipe()).items():
            if stage != "hub_release":
                assert file_table(second.output(recipe(), stage).folder) == file_table(output.folder)
        assert second.cache(second.run(recipe())) == HITS
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 40
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_stage_alone_finds_what_another_machine_made_before_it(
    bucket: Bucket, tmp_path: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_STORE_URL", bucket.url)
    with Chain(Home(tmp_path / "a")) as first, Chain(Home(tmp_path / "b")) as second:
        first.run(recipe(), ["vocabulary", "token_embeddings", "text_embeddings"])
        assert second.cache(second.run(recipe(), ["student_matrix"])) == {"student_matrix": "computed"}


def test_the_plan_is_the_same_on_each_machine(machines: tuple[Store, Store]) -> None:
    a, b = machines
    changed = StageKey.of({"stage": KEY.stage, "recipe": {"a": 2}})
    a.get_or_make(KEY, write)
    a.record_inputs("tiny", KEY)
    assert plan_stages(b, "tiny", {KEY.stage: KEY})[0].state == "fresh"
    [stage] = plan_stages(b, "tiny", {KEY.stage: changed})
    assert (stage.state, stage.why) == ("stale", "changed: a: 1 -> 2")
    b.record_inputs("tiny", changed)
    assert a.recorded_inputs("tiny", KEY.stage) == changed.inputs
    manifest = b.manifest(KEY)
    assert manifest is not None
    assert manifest["facts"] == {"rows": 8}


def test_an_output_of_facts_alone_is_shared_too(machines: tuple[Store, Store]) -> None:
    a, b = machines
    a.get_or_make(KEY, lambda _: {"score": 0.5})
    output, was_there = b.get_or_make(KEY, write)
    assert (output.facts, was_there) == ({"score": 0.5}, True)


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing", "manifest"])
def test_damage_in_the_bucket_is_noticed_and_the_output_made_and_uploaded_again(
    machines: tuple[Store, Store], bucket: Bucket, tmp_path: Path, damage: str
) -> None:
    a, b = machines
    a.get_or_make(KEY, write)
    key = _object(bucket, "manifest.json" if damage == "manifest" else ROWS)
    content = bucket.objects()[key]
    if damage == "missing":
        bucket.remove(key)
    else:
        bucket.put(key, b"1234567X" if damage == "changed" else content[: len(content) // 2])
    with pytest.raises(OutputDamaged, match=bucket.name):
        b.get(KEY)
    assert not b.folder(KEY).exists()
    said: list[str] = []
    output, hit = b.get_or_make(KEY, write, log=said.append)
    assert not hit
    assert (output.folder / ROWS).read_bytes() == b"12345678"
    assert [line for line in said if bucket.url in line and "making it again" in line]
    third = Store(tmp_path / "c", remote_store(bucket.url))
    assert third.get_or_make(KEY, write)[1]


def test_an_output_that_was_damaged_here_is_fetched_instead_of_made(machines: tuple[Store, Store]) -> None:
    a, _ = machines
    output, _ = a.get_or_make(KEY, write)
    (output.folder / ROWS).write_bytes(b"1234")
    assert (a.get(KEY).folder / ROWS).read_bytes() == b"12345678"
    (output.folder / ROWS).unlink()
    assert a.get_or_make(KEY, write)[1]


def test_an_upload_that_was_killed_is_invisible_and_finished_by_the_next_run(
    machines: tuple[Store, Store], bucket: Bucket
) -> None:
    a, b = machines
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from distill_pipeline.chain.home import Home, default_home\n"
        "from distill_pipeline.store.remote_folder import RemoteFolder\n"
        "from distill_pipeline.store.local import Store\n"
        "from distill_pipeline_tests.store.written import KEY, write\n"
        "remote = Home(default_home()).store.remote\n"
        "upload = RemoteFolder.write\n"
        "def die(self, name, content):\n"
        "    if 'manifest' in name: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    upload(self, name, content)\n"
        "RemoteFolder.write = die\n"
        "Store(Path(sys.argv[1]), remote).get_or_make(KEY, write)\n"
    )
    killed = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, str(a.root)], env=for_a_process(a.root, bucket), check=False, timeout=60
    )
    assert killed.returncode == -9
    assert [key for key in bucket.objects() if key.endswith(ROWS)]
    assert not b.contains(KEY)
    with pytest.raises(OutputMissing):
        b.get(KEY)
    assert a.get_or_make(KEY, write)[1]
    assert b.get_or_make(KEY, write)[1]


def test_a_download_that_was_cut_short_leaves_nothing_that_counts(
    machines: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = machines
    a.get_or_make(KEY, write)
    with monkeypatch.context() as patched:
        get = RemoteFolder.get

        def cut(self: RemoteFolder, name: str, file: Path) -> None:
            if name.endswith(ROWS):
                raise KeyboardInterrupt
            get(self, name, file)

        patched.setattr(RemoteFolder, "get", cut)
        with pytest.raises(KeyboardInterrupt):
            b.get(KEY)
    assert not b.folder(KEY).exists()
    assert (b.get(KEY).folder / ROWS).read_bytes() == b"12345678"


def test_other_bytes_for_the_same_inputs_do_not_mix_with_those_being_read(
    machines: tuple[Store, Store], tmp_path: Path, bucket: Bucket
) -> None:
    a, b = machines

    def otherwise(folder: Path) -> dict[str, int]:
        write(folder)
        (folder / ROWS).write_bytes(b"87654321")
        return {"rows": 8}

    a.get_or_make(KEY, write)
    manifest = bucket.objects()[_object(bucket, "manifest.json")]
    b.get_or_make(KEY, otherwise, force=True)
    third = Store(tmp_path / "c", remote_store(bucket.url))
    assert (third.get(KEY).folder / ROWS).read_bytes() == b"87654321"
    bucket.put(_object(bucket, "manifest.json"), manifest)  # as if the other machine had been the last
    fourth = Store(tmp_path / "d", remote_store(bucket.url))
    assert (fourth.get(KEY).folder / ROWS).read_bytes() == b"12345678"


def test_a_manifest_can_not_write_outside_of_the_store(machines: tuple[Store, Store], bucket: Bucket) -> None:
    a, b = machines
    a.get_or_make(KEY, write)
    place = _object(bucket, "manifest.json")
    manifest = json.loads(bucket.objects()[place])
    manifest["files"]["../../../evil"] = {"sha256": "0", "size": 1}
    del manifest["digest"]
    bucket.put(place, json.dumps(sealed(manifest)).encode())
    with pytest.raises(OutputDamaged, match="outside"):
        b.get(KEY)

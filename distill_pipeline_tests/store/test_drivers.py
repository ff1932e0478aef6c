"""What drivers of file systems do, and say when they can't: each is told in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from huggingface_hub import HfFileSystem

from distill_pipeline.chain.stages import STAGES
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import file_table
from distill_pipeline.store.keys import StageKey, fingerprint
from distill_pipeline.store.local import Store
from distill_pipeline.store.remote_folder import RemoteError, RemoteFolder
from distill_pipeline.store.shared import RemoteStore, remote_store
from distill_pipeline_tests.running import Chain
from distill_pipeline_tests.servers.bucket import SECRET, Bucket, for_a_process
from distill_pipeline_tests.servers.hub import Fault, Hub
from distill_pipeline_tests.store.written import KEY, write

MakeRecipe = Callable[..., Recipe]


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("bucket/prefix", "isn't a URL"),
        ("s3://", "isn't a URL"),
        ("s4://bucket", "Protocol not known: s4"),
        ("s3://no-such-bucket-anywhere/store", "no such bucket"),
        (f"sftp://me:{SECRET}@host/folder", "holds a password"),
    ],
)
def test_a_store_that_can_not_be_used_is_refused_before_any_work(
    chain: Chain, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("DISTILL_STORE_URL", url)
    result = chain.run(recipe(), raise_on_error=False)
    assert not result.success
    failures = [str(event.step_failure_data.error) for event in result.filter_events(lambda e: e.is_step_failure)]
    assert failures
    assert all("DISTILL_STORE_URL=" in failure and said in failure for failure in failures)
    assert not any(SECRET in failure for failure in failures)
    assert not list(chain.home.root.rglob("*.parquet"))


def test_a_missing_driver_is_named_with_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import _registry as drivers_in_use

    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(drivers_in_use, "s3", raising=False)
    with pytest.raises(RemoteError, match='make setup EXTRAS="s3"'):
        remote_store("s3://bucket/without-a-driver")


def test_missing_credentials_are_named(bucket: Bucket, tmp_path: Path) -> None:
    environment = for_a_process(tmp_path, bucket)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    refused = subprocess.run(
        [sys.executable, "-m", "distill_pipeline", "run", "minilm-256"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert refused.returncode == 2, refused.stderr
    assert "set AWS_ACCESS_KEY_ID" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(tmp_path.rglob("*.db"))


def test_another_filesystem_appears_whole_too(tmp_path: Path) -> None:
    remote = RemoteStore(RemoteFolder((tmp_path / "shared").as_uri(), "setting"))
    remote.open()
    Store(tmp_path / "a", remote).get_or_make(KEY, write)
    assert Store(tmp_path / "b", remote).get_or_make(KEY, write)[1]
    assert not list((tmp_path / "shared").rglob("*.partial"))
    assert set(STAGES) > {path.name for path in (tmp_path / "shared").iterdir() if path.is_dir()}


class _ReadOnly(LocalFileSystem):  # type: ignore[misc]
    """A shared folder that this machine has no right to change."""

    protocol = "readonly"

    def makedirs(self, path: str, *_: object, **__: object) -> None:
        raise PermissionError(f"{path} can only be read")

    pipe_file = put_file = mv = makedirs


def test_a_client_that_may_only_read_uses_what_is_there_and_computes_the_rest(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    owner = RemoteStore(RemoteFolder(f"file://{shared}", "setting"))
    owner.open()
    Store(tmp_path / "a", owner).get_or_make(KEY, write, recipe_name="tiny")
    before = file_table(shared)
    fsspec.register_implementation("readonly", _ReadOnly, clobber=True)
    client = RemoteStore(RemoteFolder(f"readonly://{shared}", "setting"))
    client.open()
    reader, said = Store(tmp_path / "b", client), list[str]()
    assert reader.get_or_make(KEY, write, recipe_name="tiny", log=said.append)[1]
    assert not [line for line in said if "denied" in line]
    other = StageKey(KEY.stage, fingerprint({"a": 2}), {"recipe": {"a": 2}})
    assert not reader.get_or_make(other, write, recipe_name="tiny", log=said.append)[1]
    assert reader.get_or_make(other, write, recipe_name="tiny", log=said.append)[1]
    [denied] = [line for line in said if "denied" in line]
    assert "its result stays on this machine" in denied
    assert file_table(shared) == before


class _Odd(LocalFileSystem):  # type: ignore[misc]
    """A driver with errors of its own, as those of Google's and Microsoft's stores have."""

    protocol = "odd"

    def cat_file(self, path: str, **_: object) -> bytes:
        raise OddError(f"no answer\nfrom https://host/{path}?signature={SECRET}&more=1")


class OddError(Exception):
    """Of no common base."""


def test_every_driver_s_errors_are_told_in_one_line_without_what_signs_a_url() -> None:
    fsspec.register_implementation("odd", _Odd, clobber=True)
    with pytest.raises(RemoteError) as raised:
        RemoteStore(RemoteFolder("odd:///store", "setting")).open()
    assert str(raised.value).startswith("setting=odd:///store: OddError: no answer from https://host/")
    assert "\n" not in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_bucket_on_the_hub_that_is_not_there_or_out_of_reach_is_one_line(hub: Hub) -> None:
    for fault in ("404", "500", "401", "drop"):
        hub.faults.extend([Fault(fault, "GET", "/api/buckets/")] * 8)
        HfFileSystem.clear_instance_cache()
        with pytest.raises(RemoteError, match=r"DISTILL_STORE_URL=hf://buckets/me/none/store: ") as raised:
            RemoteStore(RemoteFolder("hf://buckets/me/none/store", "DISTILL_STORE_URL")).open()
        assert "\n" not in str(raised.value)
        hub.faults.clear()

"""The access token goes to the Hub and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from distill_pipeline.cli.main import main
from distill_pipeline.credentials import credential_in
from distill_pipeline.errors import RecipeError
from distill_pipeline.recipe.reading import make_recipe, read_recipe
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.gate import check_evidence
from distill_pipeline.store.remote_folder import RemoteError, RemoteFolder
from distill_pipeline_tests.running import Chain
from distill_pipeline_tests.servers.hub import TOKEN, Fault, Hub

MakeRecipe = Callable[..., Recipe]


def test_no_stored_file_event_log_or_message_holds_the_token(
    chain: Chain, recipe: MakeRecipe, hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    released = recipe(repository="me/tiny", tag="next", patience_seconds=0)
    # Every kind of failure writes its error into the event log.
    for fault in (Fault("drop", "PUT", "/lfs/"), Fault("403", "POST", "/commit/"), Fault("401", "GET", "/api/models/")):
        hub.faults.append(fault)
        assert not chain.run(released, raise_on_error=False).success
    result = chain.run(released)
    assert result.success
    assert len(hub.releases("me/tiny")) == 1
    entries = [str(record) for record in chain.instance.all_logs(result.run_id)]
    assert not [entry for entry in entries if TOKEN in entry]
    assert TOKEN not in caplog.text
    files = [path for path in chain.home.root.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert not [name for name, content in hub.releases("me/tiny")[0].files.items() if TOKEN.encode() in content]


@pytest.mark.parametrize("field", ["commit_message", "prompt", "teacher"])
def test_a_recipe_with_a_token_in_it_is_refused_without_repeating_it(field: str) -> None:
    with pytest.raises(RecipeError, match=f"{field} holds what looks like an access token") as raised:
        make_recipe({"name": "x", "teacher": "MINILM_EMBEDDED", field: f"use {TOKEN}"}, source="test")
    assert TOKEN not in str(raised.value)


def test_the_very_token_in_use_is_refused_whatever_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "one-of-our-own-gateway")
    with pytest.raises(RecipeError, match="prompt holds what looks like an access token") as raised:
        make_recipe({"name": "x", "teacher": "MINILM_EMBEDDED", "prompt": "one-of-our-own-gateway: "}, source="test")
    assert "gateway" not in str(raised.value)
    for placeholder in ("", "text"):
        monkeypatch.setenv("HF_TOKEN", placeholder)
        make_recipe({"name": "x", "teacher": "MINILM_EMBEDDED", "prompt": "a text"}, source="test")


def test_a_reason_with_a_token_in_it_is_refused_before_anything_stores_it(
    finished: Chain, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTILL_HOME", str(finished.home.root))
    with pytest.raises(SystemExit):
        main(["run", "tiny", "--override_reason", f"agreed with {TOKEN}"])
    [line] = capsys.readouterr().err.splitlines()
    assert "override_reason holds what looks like an access token" in line
    assert TOKEN not in line
    # The UI's configuration is Dagster's to store; at least it is not released.
    with pytest.raises(RecipeError, match="tiny: override_reason holds"):
        check_evidence(recipe(), finished.home.root, finished.home.root / "absent", override_reason=TOKEN)
    assert not [
        path for path in finished.home.root.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("s3://KEYID:HUSH@bucket/prefix", "a password"),
        ("s3://KEYID:HU/SH@bucket/prefix", "a password"),
        ("simplecache::s3://KEYID:HUSH@bucket", "a password"),
        ("https://account.example/share?sv=2024&sig=HUSH", "a signature"),
        ("https://bucket.example/a?X-Amz-Algorithm=x&X-Amz-Signature=HUSH", "a signature"),
        ("https://bucket.example/a?X-Amz-Security-Token=HUSH", "a signature"),
        ("abfs://share@account.example/a?account_key=HUSH", "a signature"),
        (f"https://{TOKEN}@hub.example/a", "an access token"),
    ],
)
def test_a_url_with_a_credential_in_it_is_refused_without_repeating_it(url: str, kind: str) -> None:
    with pytest.raises(RemoteError, match=f"DISTILL_STORE_URL=.*: it holds {kind}") as raised:
        RemoteFolder(url, "DISTILL_STORE_URL")
    assert not [secret for secret in ("HUSH", "HU/SH", "SH@", TOKEN) if secret in str(raised.value)]


@pytest.mark.parametrize("name", ["a?b", "a@b", "a#b=c", "a b", "keys=1"])
def test_a_folder_of_an_odd_name_holds_no_credential(tmp_path: Path, name: str) -> None:
    assert not credential_in(f"file://{tmp_path / name}")
    assert not credential_in(f"s3://bucket/{name}")
    assert not credential_in(f"sftp://host:22/{name}")


def test_a_recipe_that_is_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(f"teacher: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'touched'}]\n")
    with pytest.raises(RecipeError, match="not readable as YAML"):
        read_recipe(path)
    assert not (tmp_path / "touched").exists()

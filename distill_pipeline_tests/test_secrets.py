"""The access token goes to the Hub and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from distill_pipeline.errors import RecipeError
from distill_pipeline.recipe.reading import make_recipe, read_recipe
from distill_pipeline.recipe.recipe import Recipe
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


def test_a_recipe_that_is_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(f"teacher: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'touched'}]\n")
    with pytest.raises(RecipeError, match="not readable as YAML"):
        read_recipe(path)
    assert not (tmp_path / "touched").exists()

"""The last asset: the gate holds for every caller, and an override is explicit."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from distill_pipeline.defs.automation import release_watch
from distill_pipeline.defs.building import build_defs
from distill_pipeline.defs.resources import DistillHome, load_partitions
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.verify import verify
from distill_pipeline_tests.running import HITS, Chain
from distill_pipeline_tests.servers.hub import TOKEN, Fault, Hub

MakeRecipe = Callable[..., Recipe]


def run_with(chain: Chain, recipe: Recipe, config: dict[str, Any]) -> dg.ExecuteInProcessResult:
    """Run the whole chain with a configuration of the release."""
    chain.home.save_recipe(recipe)
    return (
        build_defs(chain.home)
        .resolve_job_def("distill")
        .execute_in_process(
            run_config={"ops": {"hub_release": {"config": config}}},
            instance=chain.instance,
            partition_key=recipe.name,
            raise_on_error=False,
        )
    )


def test_a_release_on_the_hub_verifies_and_is_a_hit_afterwards(chain: Chain, recipe: MakeRecipe, hub: Hub) -> None:
    wanted = recipe(repository="me/tiny", tag="next", variants="int8,dims-4")
    result = chain.run(wanted)
    metadata = chain.metadata(result)["hub_release"]
    assert metadata["url"] == f"{hub.url}/me/tiny/commit/{hub.releases('me/tiny')[0].oid}"
    assert metadata["tag"] == "v1"
    checked = verify(chain.home.releases / "tiny")
    assert set(checked.variants) == {"int8", "dims-4"}
    provenance = json.loads((chain.home.releases / "tiny" / "provenance.json").read_text())
    assert {made["run_id"] for made in provenance["run"].values()} == {result.run_id}
    hub.requests.clear()
    assert chain.cache(chain.run(wanted)) == HITS
    assert not hub.requests


def test_finished_stages_are_kept_when_the_hub_refuses(chain: Chain, recipe: MakeRecipe, hub: Hub) -> None:
    hub.faults.append(Fault("403", "POST", "/commit/"))
    result = chain.run(recipe(repository="me/tiny"), raise_on_error=False)
    assert not result.success
    assert not (chain.home.releases / "tiny").exists()
    cache = chain.cache(chain.run(recipe(repository="me/tiny")))
    assert cache == {**HITS, "hub_release": "computed"}
    assert len(hub.releases("me/tiny")) == 1


def test_a_student_below_its_floor_goes_out_with_a_reason_only(finished: Chain, recipe: MakeRecipe, hub: Hub) -> None:
    strict = recipe(repository="me/tiny", min_similarity_correlation=1)
    assert not run_with(finished, strict, {}).success
    assert not run_with(finished, strict, {"override_reason": "  "}).success
    assert not hub.repositories
    result = run_with(finished, strict, {"override_reason": "a test of the gate"})
    assert result.success
    [failed] = [evaluation for evaluation in result.get_asset_check_evaluations() if not evaluation.passed]
    assert failed.metadata["overridden"].value == "a test of the gate"
    assert b"a test of the gate" in hub.repositories["me/tiny"].head.files["README.md"]


def test_a_dry_run_materialises_and_releases_nothing(finished: Chain, recipe: MakeRecipe, hub: Hub) -> None:
    shutil.rmtree(finished.home.releases)
    result = run_with(finished, recipe(repository="me/tiny"), {"dry_run": True})
    assert result.success
    assert "hub_release" not in finished.cache(result)
    assert not hub.repositories
    assert not (finished.home.releases / "tiny").exists()
    messages = [entry.user_message for entry in finished.instance.all_logs(result.run_id)]
    assert any("+ model.safetensors" in message for message in messages)


def _standing(chain: Chain, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, days: float) -> dict[str, Any]:
    """Run the recipe so many days from now, and return what the check of its release saw."""
    now = time.time() + days * 86_400
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: now)
        result = chain.run(recipe)
    [found] = [one for one in result.get_asset_check_evaluations() if one.check_name == "release_stands"]
    return {**{name: value.value for name, value in found.metadata.items()}, "passed": found.passed}


def test_a_repository_that_was_written_over_or_deleted_is_noticed_within_a_day(
    finished: Chain, recipe: MakeRecipe, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe(repository="me/tiny")
    seen = _standing(finished, wanted, monkeypatch, 0)
    repository = hub.repositories["me/tiny"]
    released = repository.head.oid
    assert (seen["passed"], seen["released_commit"], seen["head"]) == (True, released, released)

    files = dict(repository.head.files)
    added = repository.commit("refs/heads/main", "Someone else", {**files, "theirs.txt": b"x"}).oid
    seen = _standing(finished, wanted, monkeypatch, 1.1)
    assert (seen["passed"], seen["released_commit"], seen["head"]) == (True, released, added)

    repository.commit("refs/heads/main", "Oops", {**files, "config.json": b"{}"})
    hub.requests.clear()
    assert _standing(finished, wanted, monkeypatch, 1.2)["passed"], "looked at today already"
    assert not hub.requests
    seen = _standing(finished, wanted, monkeypatch, 2.2)
    assert not seen["passed"]
    assert "written over" in seen["problem"]
    assert "config.json" in seen["problem"]

    del hub.repositories["me/tiny"]
    hub.faults.append(Fault("503", "GET", "me/tiny", times=100))
    seen = _standing(finished, wanted, monkeypatch, 3.3)
    assert not seen["passed"]
    assert "out of reach" in seen["not_seen_now"]
    hub.faults.clear()
    seen = _standing(finished, wanted, monkeypatch, 3.4)
    assert "no longer on the Hub" in seen["problem"]
    assert finished.cache(finished.run(wanted, force=["hub_release"]))["hub_release"] == "computed"
    assert _standing(finished, wanted, monkeypatch, 3.5)["passed"]


def test_the_sensor_looks_at_each_release_once_a_day(finished: Chain, recipe: MakeRecipe, hub: Hub) -> None:
    finished.run(recipe(repository="me/tiny"))
    finished.home.save_recipe(recipe(name="other", repository="me/other"))

    def tick(days: float) -> list[tuple[str | None, bool]]:
        now = time.time() + days * 86_400
        bound = DistillHome(finished.home, load_partitions(finished.home))
        with pytest.MonkeyPatch.context() as patched, dg.build_sensor_context() as context:
            patched.setattr(time, "time", lambda: now)
            result = release_watch(context, bound)
        assert isinstance(result, dg.SensorResult)
        events = [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
        return [(event.partition, event.passed) for event in events]

    assert tick(0.1) == [], "the run looked already"
    assert tick(1.1) == [("tiny", True)]
    del hub.repositories["me/tiny"]
    hub.requests.clear()
    assert tick(1.2) == []
    assert not hub.requests
    assert tick(2.2) == [("tiny", False)]


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        ({"env": "HF_TOKEN"}, "override_reason must be written out"),
        (f"because of {TOKEN}", "holds what looks like an access token"),
        ("x" * 501, "has 501 characters"),
        ("seen\n## by nobody", r"the character '\\n'"),
        ("right\u202eleft", r"the character '\\u202e'"),
    ],
)
def test_a_reason_that_a_card_must_not_show_is_refused(
    finished: Chain, recipe: MakeRecipe, hub: Hub, reason: Any, problem: str
) -> None:
    result = run_with(finished, recipe(repository="me/tiny", min_similarity_correlation=1), {"override_reason": reason})
    assert not result.success
    failed = [str(event.step_failure_data.error) for event in result.filter_events(lambda event: event.is_step_failure)]
    assert any(re.search(problem, error) for error in failed), failed
    assert not any(TOKEN in error for error in failed)
    assert not hub.repositories

"""A failed run reaches someone: posted to a real server on loopback."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest

from distill_pipeline.defs.alarm import FAILURE_URL, failure_alarm
from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline_tests.running import Chain
from distill_pipeline_tests.servers.listener import SECRET, listening


def _evaluate(chain: Chain, result: dg.ExecuteInProcessResult) -> None:
    run = chain.instance.get_run_by_id(result.run_id)
    assert run is not None
    [event] = [event for event in result.all_events if event.event_type == dg.DagsterEventType.RUN_FAILURE]
    with dg.build_run_status_sensor_context(
        sensor_name="failure_alarm", dagster_instance=chain.instance, dagster_run=run, dagster_event=event
    ) as context:
        failure_alarm(context.for_run_failure())


def test_a_failed_run_is_posted_with_its_recipe_and_reason_though_the_first_answer_is_an_error(
    chain: Chain, recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = chain.run(recipe(pca_dims=1024), ["vocabulary"], raise_on_error=False)
    assert not failed.success
    with listening(503, 204) as (url, posted):
        monkeypatch.setenv(FAILURE_URL, url)
        _evaluate(chain, failed)
    assert posted[0] == posted[1]
    assert len(posted) == 2
    assert (posted[0]["recipe"], posted[0]["run_id"]) == ("tiny", failed.run_id)
    assert "pca_dims=1024 exceeds the teacher's 32 dimensions" in posted[0]["error"]
    assert posted[0]["text"].startswith(f"distill-pipeline: run {failed.run_id[:8]} of tiny failed: vocabulary: ")
    with listening(500, 500, 500) as (url, posted):
        monkeypatch.setenv(FAILURE_URL, url)
        with pytest.raises(DistillError, match="it answered 500; nobody was told") as raised:
            _evaluate(chain, failed)
    assert len(posted) == 3
    assert SECRET not in str(raised.value)

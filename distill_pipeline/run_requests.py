"""Turning what should be run into run requests, without asking twice for the same."""

from collections.abc import Iterable

import dagster as dg

from distill_pipeline.watching import Request

PARTITION_TAG = "dagster/partition"
RUN_KEY_TAG = "dagster/run_key"

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def requested_runs(instance: dg.DagsterInstance, requests: Iterable[Request]) -> tuple[list[dg.RunRequest], list[str]]:
    """Return a run request for each request that isn't under way or was not made before, and why others wait.

    Dagster's daemon drops a repeated key of the same sensor or schedule too; asking here as well covers ticks that
    overlap, a key of the other one, and runs that people started.
    """
    runs, waiting = [], []
    for request in requests:
        tags = {PARTITION_TAG: request.recipe}
        under_way = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED, tags=tags), limit=1)
        made = instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: request.key}), limit=1)
        if under_way:
            waiting.append(f"{request.recipe}: run {under_way[0].run_id[:8]} is under way")
        elif made:
            waiting.append(f"{request.recipe}: run {made[0].run_id[:8]} was for this; the next try is tomorrow")
        else:
            runs.append(
                dg.RunRequest(
                    run_key=request.key, partition_key=request.recipe, tags={"distill/why": request.why[:200]}
                )
            )
    return runs, waiting

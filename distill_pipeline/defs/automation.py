"""The sensor that evaluates automation conditions, off until someone switches it on; they stand with their assets.

Only what summarises is automated so: the chain itself is for `schedules.py` and `sensors.py`, which know what is stale.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import dagster as dg
import httpx

from distill_pipeline.chain.plan import identify_teachers
from distill_pipeline.chain.teachers import teacher_name
from distill_pipeline.chain.watching import (
    HubUnavailable,
    Request,
    TeacherCheck,
    check_teachers,
    find_moved_recipes,
    find_stale_recipes,
    read_cursor,
    write_cursor,
)
from distill_pipeline.defs.assets.plan import plan
from distill_pipeline.defs.assets.recipe_comparison import recipe_comparison
from distill_pipeline.defs.jobs import DISTILL
from distill_pipeline.defs.partitions import RECIPES
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.hub.access import retry_after, use_client_without_retries
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.teacher.download import teacher_error
from distill_pipeline.teacher.source import fetch_commit

OVERVIEW = dg.AutomationConditionSensorDefinition(
    "overview",
    target=dg.AssetSelection.assets(recipe_comparison.key, plan.key),
    default_status=dg.DefaultSensorStatus.STOPPED,
    minimum_interval_seconds=60,
    description="Compares the recipes anew when a quality report was made, and plans all of them every hour.",
)


@dg.schedule(
    job=DISTILL,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="At three in the morning, runs each recipe that was run before and has a stale output by now.",
)
def stale_recipes(
    context: dg.ScheduleEvaluationContext, distill_home: DistillHome
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request a run of each stale recipe that isn't running; a failed one is tried again at the next tick."""
    known = set(RECIPES.get_partition_keys())
    recipes = [recipe for recipe in distill_home.home.load_recipes()[0].values() if recipe.name in known]
    identified, problems = identify_teachers(distill_home.home, recipes)
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    requests, alone = find_stale_recipes(distill_home.store, identified, day)
    runs, waiting = requested_runs(context.instance, requests)
    unknown = [f"{recipe}: {problem}" for recipe, problem in problems.items()]
    for problem in unknown:
        context.log.warning(problem)
    return runs or dg.SkipReason("; ".join([*unknown, *waiting, *alone]) or "there are no recipes")


SECONDS_FOR_A_QUESTION = 5.0
"""A tick has a minute for all teachers."""

SECONDS_AFTER_A_FAULT = 120.0


@dg.sensor(
    job=DISTILL,
    minimum_interval_seconds=900,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Asks the Hub where each followed teacher stands, and re-distils what an earlier commit gave.",
)
def teacher_watch(context: dg.SensorEvaluationContext, distill_home: DistillHome) -> dg.SensorResult:
    """Report teachers that moved, and request a run for each released recipe that follows one."""
    known = set(RECIPES.get_partition_keys())
    recipes = [recipe for recipe in distill_home.home.load_recipes()[0].values() if recipe.name in known]
    now = time.time()
    watch = check_teachers(recipes, read_cursor(context.cursor), _ask, now)
    for problem in watch.problems:
        context.log.warning(problem)
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    requests = find_moved_recipes(distill_home.store, recipes, watch.seen, day)
    runs, waiting = requested_runs(context.instance, requests)
    reasons = [*waiting, *watch.problems] or ["no teacher moved"]
    return dg.SensorResult(
        run_requests=runs,
        skip_reason=None if runs else "; ".join(reasons),
        cursor=write_cursor(watch.seen),
        asset_events=_observations(recipes, watch),
    )


def _ask(teacher: str, branch: str | None) -> str:
    use_client_without_retries()
    try:
        return fetch_commit(teacher, branch, timeout=SECONDS_FOR_A_QUESTION)
    except (httpx.HTTPError, OSError) as error:
        raise HubUnavailable(
            str(teacher_error(error, teacher, branch)), retry_after(error) or SECONDS_AFTER_A_FAULT
        ) from None


def _observations(recipes: list[Recipe], watch: TeacherCheck) -> list[dg.AssetObservation]:
    """Return one observation per recipe whose teacher was seen at another commit than before."""
    return [
        dg.AssetObservation(
            asset_key="vocabulary",
            partition=recipe.name,
            description=f"{teacher_name(recipe)} stands at {after}",
            metadata={"teacher": teacher_name(recipe), "commit": after, "commit_before": before or "not seen before"},
        )
        for recipe in recipes
        if teacher_name(recipe) in watch.moved
        for before, after in (watch.moved[teacher_name(recipe)],)
    ]


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

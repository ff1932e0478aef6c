"""Automation: a schedule for stale recipes, sensors for teachers that moved, releases on the Hub and the overview.

All are off until someone switches them on. What to run is decided in `chain/watching.py`.
"""

import time
from collections.abc import Iterable
from typing import Any

import dagster as dg

from distill_pipeline.chain.comparison import STAGE as COMPARISON
from distill_pipeline.chain.plan import identify_teachers
from distill_pipeline.chain.stages import RELEASE
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
from distill_pipeline.defs.checks import RELEASE_STANDS
from distill_pipeline.defs.resources import DistillHome, bound
from distill_pipeline.defs.sources import TEACHER
from distill_pipeline.errors import DistillError
from distill_pipeline.hub.access import retry_after, use_client_without_retries
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.standing import release_standing
from distill_pipeline.teacher.download import teacher_error
from distill_pipeline.teacher.source import fetch_commit


def stale_recipes(
    context: dg.ScheduleEvaluationContext, distill_home: DistillHome
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request a run of each stale recipe that isn't running; a failed one is retried at the next tick."""
    identified, problems = identify_teachers(distill_home.home, distill_home.recipes())
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    requests, skipped = find_stale_recipes(distill_home.store, identified, day)
    runs, waiting = new_runs(context.instance, requests)
    unknown = [f"{recipe}: {problem}" for recipe, problem in problems.items()]
    for problem in unknown:
        context.log.warning(problem)
    return runs or dg.SkipReason("; ".join([*unknown, *waiting, *skipped]) or "there are no recipes")


ANSWER_TIMEOUT_SECONDS = 5.0
"""A tick has a minute for all teachers."""

ERROR_WAIT_SECONDS = 120.0


def teacher_watch(context: dg.SensorEvaluationContext, distill_home: DistillHome) -> dg.SensorResult:
    """Report teachers that moved, and request a run for each released recipe that follows one."""
    recipes = distill_home.recipes()
    now = time.time()
    check = check_teachers(recipes, read_cursor(context.cursor), _ask, now)
    for problem in check.problems:
        context.log.warning(problem)
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    requests = find_moved_recipes(distill_home.store, recipes, check.states, day)
    runs, waiting = new_runs(context.instance, requests)
    reasons = [*waiting, *check.problems] or ["no teacher moved"]
    return dg.SensorResult(
        run_requests=runs,
        skip_reason=None if runs else "; ".join(reasons),
        cursor=write_cursor(check.states),
        asset_events=_observations(distill_home, recipes, check),
    )


def _ask(teacher: str, branch: str | None) -> str:
    import httpx

    use_client_without_retries()
    try:
        return fetch_commit(teacher, branch, timeout=ANSWER_TIMEOUT_SECONDS)
    except (httpx.HTTPError, OSError) as error:
        raise HubUnavailable(
            str(teacher_error(error, teacher, branch)), retry_after(error) or ERROR_WAIT_SECONDS
        ) from None
    except (DistillError, httpx.InvalidURL, ValueError) as error:  # an answer, or a branch's name, that makes no sense
        raise HubUnavailable(str(error), ERROR_WAIT_SECONDS) from None


def _observations(home: DistillHome, recipes: list[Recipe], check: TeacherCheck) -> list[dg.AssetObservation]:
    """Return an observation of each recipe whose teacher moved since it was last seen."""
    observations = []
    for recipe in recipes:
        name = teacher_name(recipe)
        if name in check.moved:
            before, commit = check.moved[name]
            metadata = {"teacher": name, "commit": commit, "commit_before": before or "not seen before"}
            description = f"{name} stands at {commit}"
            observations.append(
                dg.AssetObservation(
                    asset_key=home.key(TEACHER), partition=recipe.name, description=description, metadata=metadata
                )
            )
    return observations


LOOKING_SECONDS = 20.0
"""After which a tick begins no other look; the next tick goes on."""


def release_watch(context: dg.SensorEvaluationContext, distill_home: DistillHome) -> dg.SensorResult:
    """Report for each release that wasn't looked at in the last day whether the Hub still holds it."""
    last_start = time.monotonic() + LOOKING_SECONDS
    found: list[dg.AssetCheckEvaluation] = []
    for recipe in distill_home.recipes():
        if time.monotonic() > last_start:
            break
        try:
            look = release_standing(distill_home.store, recipe.name, time.time())
        except DistillError as error:  # its stored receipt is missing or damaged, which its next run mends
            context.log.warning(f"{recipe.name}: {error}")
            continue
        if look.asked:
            found.append(
                dg.AssetCheckEvaluation(
                    asset_key=distill_home.key(RELEASE),
                    check_name=RELEASE_STANDS,
                    passed=look.stands,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata=look.seen,
                    partition=recipe.name,
                )
            )
        if "problem" in look.seen or "not_seen_now" in look.seen:
            context.log.warning(f"{recipe.name}: {look.seen.get('not_seen_now') or look.seen['problem']}")
    return dg.SensorResult(skip_reason=f"{len(found)} releases looked at", asset_events=found)


PARTITION_TAG = "dagster/partition"
RUN_KEY_TAG = "dagster/run_key"

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def new_runs(instance: dg.DagsterInstance, requests: Iterable[Request]) -> tuple[list[dg.RunRequest], list[str]]:
    """Return a run request for each request without a run so far, and why the others wait.

    Dagster's daemon also drops a repeated key of the same sensor or schedule; checking here covers overlapping ticks,
    keys of the other one, and runs that people started.
    """
    runs, waiting = [], []
    for request in requests:
        of_recipe = dg.RunsFilter(statuses=_UNFINISHED, tags={PARTITION_TAG: request.recipe})
        if unfinished := instance.get_runs(of_recipe, limit=1):
            waiting.append(f"{request.recipe}: run {unfinished[0].run_id[:8]} is under way")
        elif earlier := instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: request.key}), limit=1):
            waiting.append(f"{request.recipe}: run {earlier[0].run_id[:8]} was for this; the next try is tomorrow")
        else:
            tags = {"distill/why": request.why[:200]}
            runs.append(dg.RunRequest(run_key=request.key, partition_key=request.recipe, tags=tags))
    return runs, waiting


def stale_recipes_schedule(home: DistillHome, job: Any) -> dg.ScheduleDefinition:
    """Return the schedule over one home."""
    return dg.schedule(
        name=home.name("stale_recipes"),
        job=job,
        cron_schedule="0 3 * * *",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Runs each released recipe that has a stale or missing output, every day at 03:00.",
    )(bound(stale_recipes, home))


def sensors_of(home: DistillHome, job: Any) -> list[dg.SensorDefinition]:
    """Return the sensors over one home."""
    follow = dg.sensor(
        name=home.name("teacher_watch"),
        job=job,
        minimum_interval_seconds=900,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Asks the Hub for the current commit of each teacher without a pinned one, every 15 minutes, and "
        "runs each released recipe that was made from an earlier commit.",
    )
    look = dg.sensor(
        name=home.name("release_watch"),
        minimum_interval_seconds=3600,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Looks once a day whether the Hub still holds each release. Starts no run.",
    )
    overview = dg.AutomationConditionSensorDefinition(
        home.name("overview"),
        target=dg.AssetSelection.assets(home.key(COMPARISON), home.key("plan")),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=60,
        description="Compares the recipes again after each new quality report, and plans all recipes every hour.",
    )
    return [follow(bound(teacher_watch, home)), look(bound(release_watch, home)), overview]

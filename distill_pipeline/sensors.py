"""Watching the teachers, off until someone switches it on. What to do about them is decided in `watching.py`."""

import time

import dagster as dg
import httpx

from distill_pipeline.distillation.download import explained
from distill_pipeline.distillation.source import ask_for_commit
from distill_pipeline.hub_access import retry_after, use_one_try_client
from distill_pipeline.jobs import DISTILL
from distill_pipeline.partitions import RECIPES
from distill_pipeline.recipe import Recipe
from distill_pipeline.resources import DistillHome
from distill_pipeline.run_requests import requested_runs
from distill_pipeline.watching import (
    CantAsk,
    Watch,
    look_at_teachers,
    moved_recipes,
    read_seen,
    teacher_name,
    write_seen,
)

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
    watch = look_at_teachers(recipes, read_seen(context.cursor), _ask, now)
    for problem in watch.problems:
        context.log.warning(problem)
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    requests = moved_recipes(distill_home.store, recipes, watch.seen, day)
    runs, waiting = requested_runs(context.instance, requests)
    reasons = [*waiting, *watch.problems] or ["no teacher moved"]
    return dg.SensorResult(
        run_requests=runs,
        skip_reason=None if runs else "; ".join(reasons),
        cursor=write_seen(watch.seen),
        asset_events=_observations(recipes, watch),
    )


def _ask(teacher: str, branch: str | None) -> str:
    use_one_try_client()
    try:
        return ask_for_commit(teacher, branch, timeout=SECONDS_FOR_A_QUESTION)
    except (httpx.HTTPError, OSError) as error:
        raise CantAsk(str(explained(error, teacher, branch)), retry_after(error) or SECONDS_AFTER_A_FAULT) from None


def _observations(recipes: list[Recipe], watch: Watch) -> list[dg.AssetObservation]:
    """Return one observation per recipe whose teacher was seen at another commit than before."""
    return [
        dg.AssetObservation(
            asset_key="tokenizer_vocabulary",
            partition=recipe.name,
            description=f"{teacher_name(recipe)} stands at {after}",
            metadata={"teacher": teacher_name(recipe), "commit": after, "commit_before": before or "not seen before"},
        )
        for recipe in recipes
        if teacher_name(recipe) in watch.moved
        for before, after in (watch.moved[teacher_name(recipe)],)
    ]

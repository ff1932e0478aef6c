"""Re-distillation at night, off until someone switches it on. What is stale is decided in `watching.py`."""

import dagster as dg

from distill_pipeline.jobs import DISTILL
from distill_pipeline.partitions import RECIPES
from distill_pipeline.plans import identify
from distill_pipeline.resources import DistillHome
from distill_pipeline.run_requests import requested_runs
from distill_pipeline.watching import stale_recipes as find_stale


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
    identified, problems = identify(distill_home.home, recipes)
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    requests, alone = find_stale(distill_home.store, identified, day)
    runs, waiting = requested_runs(context.instance, requests)
    unknown = [f"{recipe}: {problem}" for recipe, problem in problems.items()]
    for problem in unknown:
        context.log.warning(problem)
    return runs or dg.SkipReason("; ".join([*unknown, *waiting, *alone]) or "there are no recipes")

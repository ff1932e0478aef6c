"""Re-distillation at night, off until someone switches it on. What is stale is decided in `watching.py`."""

import dagster as dg

from distill_pipeline.distillation.source import TeacherSource, resolve_teacher
from distill_pipeline.errors import DistillError
from distill_pipeline.jobs import DISTILL
from distill_pipeline.partitions import RECIPES
from distill_pipeline.recipe import Recipe
from distill_pipeline.resources import DistillHome
from distill_pipeline.run_requests import requested_runs
from distill_pipeline.watching import stale_recipes as find_stale
from distill_pipeline.watching import teacher_name


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
    identified, problems = _identify(distill_home, recipes)
    day = f"{context.scheduled_execution_time:%Y-%m-%d}"
    requests, alone = find_stale(distill_home.home.store, identified, day)
    runs, waiting = requested_runs(context.instance, requests)
    for problem in problems:
        context.log.warning(problem)
    return runs or dg.SkipReason("; ".join([*problems, *waiting, *alone]) or "there are no recipes")


def _identify(
    distill_home: DistillHome, recipes: list[Recipe]
) -> tuple[list[tuple[Recipe, dict[str, str]]], list[str]]:
    """Return each recipe with what its teacher is now; one that can't be found holds up no other."""
    # Not `find_teacher`, which remembers for a process's life: this process lives for months.
    found: dict[str, TeacherSource | str] = {}
    identified, problems = [], []
    for recipe in recipes:
        name = teacher_name(recipe)
        if name not in found:
            try:
                found[name] = resolve_teacher(
                    recipe.teacher_location,
                    recipe.revision,
                    known_commits=distill_home.home.root / "teachers.json",
                    answer_seconds=5,  # a tick has a minute for all teachers
                    allow_pickled_weights=recipe.allow_pickled_weights,
                )
            except DistillError as error:
                found[name] = str(error)
        source = found[name]
        if isinstance(source, str):
            problems.append(f"{recipe.name}: {source}")
        else:
            identified.append((recipe, source.identity))
    return identified, problems

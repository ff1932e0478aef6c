"""Running recipes in this process: one loaded code location and one Dagster instance for all of them.

Dagster is imported inside the functions: it reads the recipes' names when it loads the code location, and commands
that run nothing need not wait for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import PICTURED, RELEASE, STAGES, stage_keys
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.cli.flags import UsageError
from distill_pipeline.errors import did_you_mean
from distill_pipeline.recipe.recipe import Recipe

if TYPE_CHECKING:
    import dagster as dg

    RunRecipe = Callable[..., dg.ExecuteInProcessResult]


def check_recipe(home: Home, recipe: Recipe) -> None:
    """Check everything that a recipe reads, its teacher first, before anything is written or computed.

    Raises:
        DistillError: The teacher or a file can't be used, or the teacher has too few dimensions.
    """
    from distill_pipeline.chain.plan import pending, plan_stages
    from distill_pipeline.fitting.pca import check_dimensions
    from distill_pipeline.teacher.check import check_teacher

    source = find_teacher(home, recipe)
    if isinstance(recipe.pca_dims, int):
        check_dimensions(recipe.pca_dims, source.max_dimensions)
    keys = stage_keys(recipe, source.identity)
    if pending(plan_stages(home.store, recipe.name, keys)):
        check_teacher(source, recipe)


def check_release(
    home: Home, recipe: Recipe, forced: Sequence[str], override_reason: str, *, sending: bool = True
) -> None:
    """Check where a recipe is to be released, before any work, and print what its owner should know of that.

    A release that a run would find done isn't looked at. While the Hub is out of reach, it is looked at later.

    Raises:
        ReleaseRefused: Something else is there, and there is no reason to replace it; or a card can't show the reason.
        RecipeError: The reason holds an access token.
        HubError, TeacherError: The Hub refuses, or there is no token to write with.
    """
    from distill_pipeline.chain.plan import pending, plan_stages
    from distill_pipeline.hub.explain import require_token
    from distill_pipeline.release.destination import look_ahead
    from distill_pipeline.release.gate import check_reason, refuse

    check_reason(override_reason)  # before Dagster stores it
    source = find_teacher(home, recipe)
    keys = stage_keys(recipe, source.identity)
    if not forced and not pending(plan_stages(home.store, recipe.name, keys)):
        return
    if recipe.repository and sending:
        require_token()
    found, notes = look_ahead(recipe, source, home.releases / recipe.name)
    refuse(recipe, found, override_reason)
    for note in notes:
        print(note, file=sys.stderr)


@contextmanager
def running(home: Home) -> Iterator[RunRecipe]:
    """Yield a function that runs the job for one saved recipe.

    The function takes the recipe and, by keyword, `forced` (stages to compute in any case), `override_reason`,
    `release` (false stops before hub_release) and `pictures` (false draws none that needn't be). A failed step doesn't
    raise: the result says so.
    """
    with _instance(home) as instance:
        import dagster as dg

        job = _load_job(home)

        def run(
            recipe: Recipe,
            *,
            forced: Sequence[str] = (),
            override_reason: str = "",
            release: bool = True,
            pictures: bool = True,
        ) -> dg.ExecuteInProcessResult:
            stages = [stage for stage in STAGES if release or stage != RELEASE]
            config: dict[str, dict[str, Any]] = {stage: {} for stage in stages}
            for stage in config.keys() & forced:
                config[stage]["force"] = True
            for stage in PICTURED:
                config[stage]["pictures"] = pictures
            if override_reason and release:
                config[RELEASE]["override_reason"] = override_reason
            return job.execute_in_process(
                run_config={
                    "loggers": {"terminal": {}},
                    "ops": {stage: {"config": values} for stage, values in config.items()},
                },
                instance=instance,
                partition_key=recipe.name,
                asset_selection=[dg.AssetKey(stage) for stage in stages],
                raise_on_error=False,
            )

        yield run


@contextmanager
def _instance(home: Home) -> Iterator[dg.DagsterInstance]:
    """Yield Dagster's instance, with settings and tables.

    Each storage makes its tables when it is first asked for; two processes that do so in SQLite at once fail.
    """
    home.prepare_dagster()
    import dagster as dg

    with home.first_use_of_dagster():
        instance = dg.DagsterInstance.get()
        _ = instance.run_storage, instance.event_log_storage, instance.schedule_storage
    with instance:
        yield instance


def _load_job(home: Home) -> dg.JobDefinition:
    """Return the job, from a code location that knows every recipe that this home holds now."""
    from distill_pipeline.defs.building import build_defs

    return build_defs(home).resolve_job_def("distill")


def forced_stages(force: str) -> list[str]:
    """Return the stages that a --force names. Raises `UsageError`."""
    stages = list(STAGES) if force == "all" else [stage.strip() for stage in force.split(",") if stage.strip()]
    for stage in stages:
        if stage not in STAGES:
            raise UsageError(f"--force {stage}: there is no such stage{did_you_mean(stage, STAGES)}")
    return stages


def prepare_dagster(home: Home) -> None:
    """Prepare $DAGSTER_HOME: settings, tables, and the limit of each pool that the assets name.

    Dagster 1.13 sets a new pool's default limit while it dequeues runs, but counts with the limits it knew before:
    without this, all runs in the queue at the first dequeuing would start at once.
    """
    with _instance(home) as instance:
        storage = instance.event_log_storage
        known = {limit.name for limit in storage.get_pool_limits()}
        for pool in _load_job(home).graph.pools - known:
            storage.initialize_concurrency_limit_to_default(pool)

"""Running recipes' chains in this process: one loaded code location and one Dagster instance for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import RELEASE, STAGES
from distill_pipeline.cli.flags import UsageError
from distill_pipeline.definitions import defs
from distill_pipeline.defs.jobs import DISTILL
from distill_pipeline.errors import did_you_mean
from distill_pipeline.recipe.recipe import Recipe

if TYPE_CHECKING:
    import dagster as dg

    RunRecipe = Callable[..., dg.ExecuteInProcessResult]


@contextmanager
def running(home: Home) -> Iterator[RunRecipe]:
    """Yield a function that runs the job for one recipe, as often as it is called.

    The function takes the recipe and, by keyword, `forced` (stages to compute in any case), `override_reason` and
    `release` (false stops before hub_release). A failed step raises nothing; the result says so.

    The partitions' names are those of the files when Dagster's definitions are first loaded in this process.
    """
    home.prepare_dagster()
    import dagster as dg

    from distill_pipeline.definitions import build_defs

    job = build_defs(home).resolve_job_def("distill")
    with dg.DagsterInstance.get() as instance:

        def run(
            recipe: Recipe, *, forced: Sequence[str] = (), override_reason: str = "", release: bool = True
        ) -> dg.ExecuteInProcessResult:
            stages = [stage for stage in STAGES if release or stage != RELEASE]
            ops: dict[str, Any] = {stage: {"config": {"force": True}} for stage in forced}
            if override_reason:
                ops.setdefault(RELEASE, {"config": {}})["config"]["override_reason"] = override_reason
            return job.execute_in_process(
                run_config={
                    "loggers": {"terminal": {}},
                    "ops": {stage: config for stage, config in ops.items() if stage in stages},
                },
                instance=instance,
                partition_key=recipe.name,
                asset_selection=[dg.AssetKey(stage) for stage in stages],
                raise_on_error=False,
            )

        yield run


def forced_stages(force: str) -> list[str]:
    """Return the stages of a --force. Raises `UsageError`."""
    stages = list(STAGES) if force == "all" else [stage.strip() for stage in force.split(",") if stage.strip()]
    for stage in stages:
        if stage not in STAGES:
            raise UsageError(f"--force {stage}: there is no such stage{did_you_mean(stage, STAGES)}")
    return stages


def set_default_limits(instance: dg.DagsterInstance) -> None:
    """Give each pool that the assets name the instance's default limit, unless it has a limit already."""
    storage = instance.event_log_storage
    known = {limit.name for limit in storage.get_pool_limits()}
    for pool in defs.resolve_job_def(DISTILL.name).graph.pools - known:
        storage.initialize_concurrency_limit_to_default(pool)

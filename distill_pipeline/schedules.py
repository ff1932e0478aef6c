"""Re-distillation at night, off until someone switches it on."""

from collections.abc import Iterator

import dagster as dg

from distill_pipeline.jobs import DISTILL
from distill_pipeline.partitions import RECIPES


@dg.schedule(
    job=DISTILL,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Runs every recipe at three in the morning. What has not changed is a cache hit and takes seconds.",
)
def nightly_distillation(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Request one run per recipe; a repeated tick requests none twice."""
    for recipe in RECIPES.get_partition_keys():
        yield dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}-{recipe}", partition_key=recipe)

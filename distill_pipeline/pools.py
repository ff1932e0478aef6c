"""The pools' limits, known to Dagster before the first runs wait in its queue.

Dagster 1.13 gives a pool its default limit while it takes runs from the queue, but counts with the limits that it knew
before: without this, all runs that wait when the very first are taken start at once.
"""

from __future__ import annotations

import dagster as dg

from distill_pipeline.definitions import defs
from distill_pipeline.jobs import DISTILL


def set_default_limits(instance: dg.DagsterInstance) -> None:
    """Give each pool that the assets name the instance's default limit, unless it has a limit already."""
    storage = instance.event_log_storage
    known = {limit.name for limit in storage.get_pool_limits()}
    for pool in defs.resolve_job_def(DISTILL.name).graph.pools - known:
        storage.initialize_concurrency_limit_to_default(pool)

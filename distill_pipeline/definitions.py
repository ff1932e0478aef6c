"""What Dagster loads. A table of contents: no logic here."""

import dagster as dg

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.defs import assets
from distill_pipeline.defs.alarm import failure_alarm
from distill_pipeline.defs.automation import OVERVIEW, release_watch, stale_recipes, teacher_watch
from distill_pipeline.defs.checks import CHECKS
from distill_pipeline.defs.jobs import DISTILL, MEASURE
from distill_pipeline.defs.resources import resources_of
from distill_pipeline.defs.terminal import terminal_logger


def build_defs(home: Home) -> dg.Definitions:
    """Return the code location for this home.

    The partitions are the recipes that `$DISTILL_HOME` held when the process began.
    """
    return dg.Definitions(
        assets=dg.with_source_code_references(dg.load_assets_from_package_module(assets)),
        asset_checks=CHECKS,
        jobs=[DISTILL, MEASURE],
        schedules=[stale_recipes],
        sensors=[teacher_watch, release_watch, OVERVIEW, failure_alarm],
        resources=resources_of(home),
        # All steps of a run in one process: torch is imported once, and a run of cache hits takes seconds. If the
        # process dies, the next run finds each finished stage and part.
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger, "terminal": terminal_logger},
    )


defs = build_defs(Home(default_home()))

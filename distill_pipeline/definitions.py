"""What Dagster loads. A table of contents: no logic here."""

from __future__ import annotations

import dagster as dg

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.defs.assets.hub_release import hub_release
from distill_pipeline.defs.assets.plan import plan
from distill_pipeline.defs.assets.quality_report import quality_report
from distill_pipeline.defs.assets.recipe_comparison import recipe_comparison
from distill_pipeline.defs.assets.static_model import static_model
from distill_pipeline.defs.assets.student_matrix import student_matrix
from distill_pipeline.defs.assets.text_embeddings import text_embeddings
from distill_pipeline.defs.assets.token_embeddings import token_embeddings
from distill_pipeline.defs.assets.vocabulary import vocabulary
from distill_pipeline.defs.automation import OVERVIEW, stale_recipes, teacher_watch
from distill_pipeline.defs.checks import CHECKS
from distill_pipeline.defs.jobs import DISTILL, MEASURE
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.terminal import terminal_logger

ASSETS = [
    vocabulary,
    token_embeddings,
    text_embeddings,
    student_matrix,
    static_model,
    quality_report,
    hub_release,
    recipe_comparison,
]


def build_defs(home: Home) -> dg.Definitions:
    """Return the code location for this home.

    The partitions are the recipes that `$DISTILL_HOME` held when the process began.
    """
    return dg.Definitions(
        assets=[*dg.with_source_code_references(ASSETS), plan],
        asset_checks=CHECKS,
        jobs=[DISTILL, MEASURE],
        schedules=[stale_recipes],
        sensors=[teacher_watch, OVERVIEW],
        resources={"distill_home": DistillHome(path=str(home.root))},
        # All steps of a run in one process: torch is imported once, and a run of cache hits takes seconds. If the
        # process dies, the next run finds each finished stage and part.
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger, "terminal": terminal_logger},
    )


defs = build_defs(Home(default_home()))

"""What Dagster loads. A table of contents: no logic here."""

from __future__ import annotations

import dagster as dg

from distill_pipeline.assets.hub_release import hub_release
from distill_pipeline.assets.plan import plan
from distill_pipeline.assets.quality_report import quality_report
from distill_pipeline.assets.recipe_comparison import recipe_comparison
from distill_pipeline.assets.reduced_matrix import reduced_matrix
from distill_pipeline.assets.static_model import static_model
from distill_pipeline.assets.teacher_sentence_embeddings import teacher_sentence_embeddings
from distill_pipeline.assets.teacher_token_embeddings import teacher_token_embeddings
from distill_pipeline.assets.tokenizer_vocabulary import tokenizer_vocabulary
from distill_pipeline.automation import OVERVIEW
from distill_pipeline.checks import CHECKS
from distill_pipeline.home import Home, default_home
from distill_pipeline.jobs import DISTILL, MEASURE
from distill_pipeline.resources import DistillHome
from distill_pipeline.schedules import stale_recipes
from distill_pipeline.sensors import teacher_watch
from distill_pipeline.terminal import terminal_logger

ASSETS = [
    tokenizer_vocabulary,
    teacher_token_embeddings,
    teacher_sentence_embeddings,
    reduced_matrix,
    static_model,
    quality_report,
    hub_release,
    recipe_comparison,
]


def build_defs(home: Home) -> dg.Definitions:
    """Return the code location with its recipes' content, outputs and releases in this home.

    The partitions' names are those of `$DISTILL_HOME` when the process began.
    """
    return dg.Definitions(
        assets=[*dg.with_source_code_references(ASSETS), plan],
        asset_checks=CHECKS,
        jobs=[DISTILL, MEASURE],
        schedules=[stale_recipes],
        sensors=[teacher_watch, OVERVIEW],
        resources={"distill_home": DistillHome(path=str(home.root))},
        # All steps of a run in one process: torch is imported and warm once, and a run of nothing but cache hits takes
        # seconds. Nothing is lost with a process that dies, since the next run finds each finished stage and part.
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger, "terminal": terminal_logger},
    )


defs = build_defs(Home(default_home()))

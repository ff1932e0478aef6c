"""All definitions over one home, and the code location that they make. A table of contents: no logic here."""

import dagster as dg

from distill_pipeline.chain.home import Home
from distill_pipeline.defs.alarm import failure_alarm
from distill_pipeline.defs.assets.hub_release import hub_release
from distill_pipeline.defs.assets.plan import plan_asset
from distill_pipeline.defs.assets.quality_report import quality_report
from distill_pipeline.defs.assets.recipe_comparison import comparison_asset
from distill_pipeline.defs.assets.static_model import static_model
from distill_pipeline.defs.assets.student_matrix import student_matrix
from distill_pipeline.defs.assets.text_embeddings import text_embeddings
from distill_pipeline.defs.assets.token_embeddings import token_embeddings
from distill_pipeline.defs.assets.vocabulary import vocabulary
from distill_pipeline.defs.automation import sensors_of, stale_recipes_schedule
from distill_pipeline.defs.checks import checks_of
from distill_pipeline.defs.jobs import distill_job, measure_job
from distill_pipeline.defs.resources import DistillHome, load_partitions
from distill_pipeline.defs.sources import sources_of
from distill_pipeline.defs.terminal import terminal_logger

_STAGES = (vocabulary, token_embeddings, text_embeddings, student_matrix, static_model, quality_report, hub_release)


def definitions_of(home: DistillHome) -> dg.Definitions:
    """Return the sources, assets, checks, jobs, schedules and sensors over one home."""
    distill = distill_job(home)
    return dg.Definitions(
        assets=[*sources_of(home), *(stage.of(home) for stage in _STAGES), comparison_asset(home), plan_asset(home)],
        asset_checks=checks_of(home),
        jobs=[distill, measure_job(home)],
        schedules=[stale_recipes_schedule(home, distill)],
        sensors=sensors_of(home, distill),
    )


def build_defs(home: Home) -> dg.Definitions:
    """Return the code location for this home. The partitions are the recipes that it holds now."""
    of_the_location = dg.Definitions(
        sensors=[failure_alarm],
        # The stages pass on folders of the store, no values; Dagster's own choice takes a folder from a launch.
        resources={"io_manager": dg.IOManagerDefinition(dg.mem_io_manager.resource_fn, config_schema={})},
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger, "terminal": terminal_logger},
    )
    return dg.Definitions.merge(definitions_of(DistillHome(home, load_partitions(home))), of_the_location)

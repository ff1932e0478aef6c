"""All definitions over one home, under one prefix. A table of contents: no logic here."""

import dagster as dg

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
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.sources import sources_of

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

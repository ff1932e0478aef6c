"""The jobs that run the chain for one recipe."""

from __future__ import annotations

import dagster as dg

from distill_pipeline.stages import STAGES

_CHAIN = dg.AssetSelection.assets(*STAGES)

DISTILL = dg.define_asset_job(
    "distill",
    selection=_CHAIN,
    description="From a recipe's teacher to its release; stages that the store holds are not computed again.",
)

MEASURE = dg.define_asset_job(
    "measure",
    selection=_CHAIN - dg.AssetSelection.assets("hub_release"),
    description="From a recipe's teacher to its quality report, and no release: what a sweep runs for each member.",
)

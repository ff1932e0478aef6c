"""The job that runs the whole chain for one recipe."""

from __future__ import annotations

import dagster as dg

DISTILL = dg.define_asset_job(
    "distill",
    selection=dg.AssetSelection.all(),
    description="From a recipe's teacher to its release; stages that the store holds are not computed again.",
)

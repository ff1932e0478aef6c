"""The jobs that run the chain for one recipe."""

from __future__ import annotations

import dagster as dg

OVERVIEW_GROUP = "overview"
"""Assets about all recipes; they are no part of one recipe's run."""

_CHAIN = dg.AssetSelection.all() - dg.AssetSelection.groups(OVERVIEW_GROUP)

DISTILL = dg.define_asset_job(
    "distill",
    selection=_CHAIN,
    description="From a recipe's teacher to its release; stages that the store holds are not computed again.",
)

MEASURE = dg.define_asset_job(
    "measure",
    selection=_CHAIN - dg.AssetSelection.assets("hub_release").downstream(),
    description="From a recipe's teacher to its quality report, and no release: what a sweep runs for each member.",
)

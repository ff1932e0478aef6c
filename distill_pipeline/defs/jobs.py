"""The jobs that run the chain for one recipe."""

from __future__ import annotations

import dagster as dg

from distill_pipeline.chain.stages import RELEASE

ALL_RECIPES = {"scope": "all-recipes"}
"""Tag of assets about all recipes; they are no part of one recipe's run. They share the chain's group, since the UI
opens on one group's assets, but on a box for each of two."""

_CHAIN = dg.AssetSelection.all() - dg.AssetSelection.tag("scope", ALL_RECIPES["scope"])

DISTILL = dg.define_asset_job(
    "distill",
    selection=_CHAIN,
    description="From a recipe's teacher to its release; stages that the store holds are not computed again.",
)

MEASURE = dg.define_asset_job(
    "measure",
    selection=_CHAIN - dg.AssetSelection.assets(RELEASE).downstream(),
    description="From a recipe's teacher to its quality report, and no release: what a sweep runs for each member.",
)

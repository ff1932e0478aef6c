"""The jobs that run the chain for one recipe."""

import dagster as dg

from distill_pipeline.chain.stages import RELEASE

ALL_RECIPES = {"scope": "all-recipes"}
"""Tag of assets about all recipes, which are not part of one recipe's run. They are in the chain's group, since the UI
opens with the assets of a single group, but with closed boxes for two."""

_CHAIN = dg.AssetSelection.all() - dg.AssetSelection.tag("scope", ALL_RECIPES["scope"])

DISTILL = dg.define_asset_job(
    "distill",
    selection=_CHAIN,
    description="From a recipe's teacher to its release; stages whose output is in the store are not computed again.",
)

MEASURE = dg.define_asset_job(
    "measure",
    selection=_CHAIN - dg.AssetSelection.assets(RELEASE).downstream(),
    description="From a recipe's teacher to its quality report, without a release; a sweep runs this for each recipe.",
)

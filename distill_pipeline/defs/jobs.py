"""The jobs that run the chain for one recipe."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from distill_pipeline.chain.stages import RELEASE, STAGES
from distill_pipeline.defs.resources import DistillHome

ALL_RECIPES = {"scope": "all-recipes"}
"""Tag of assets about all recipes, which are not part of one recipe's run. They are in the chain's group, since the UI
opens with the assets of a single group, but with closed boxes for two."""


def distill_job(home: DistillHome) -> Any:
    """Return the job that runs the whole chain."""
    description = "From a recipe's teacher to its release; stages whose output is in the store are not computed again."
    return _job(home, "distill", STAGES, description)


def measure_job(home: DistillHome) -> Any:
    """Return the job that runs the chain without the release."""
    description = "From a recipe's teacher to its quality report, without a release; a sweep runs this for each recipe."
    return _job(home, "measure", (stage for stage in STAGES if stage != RELEASE), description)


def _job(home: DistillHome, name: str, stages: Iterable[str], description: str) -> Any:
    return dg.define_asset_job(
        home.name(name),
        selection=dg.AssetSelection.assets(*map(home.key, stages)),
        description=description,
        # All steps of a run in one process: torch is imported once, and a run of cache hits takes seconds. If the
        # process dies, the next run finds each finished stage and part.
        executor_def=dg.in_process_executor,
    )

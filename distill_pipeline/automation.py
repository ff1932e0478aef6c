"""The sensor that evaluates automation conditions, off until someone switches it on; they stand with their assets.

Only what summarises is automated so: the chain itself is for `schedules.py` and `sensors.py`, which know what is stale.
"""

from __future__ import annotations

import dagster as dg

from distill_pipeline.assets.plan import plan
from distill_pipeline.assets.recipe_comparison import recipe_comparison

OVERVIEW = dg.AutomationConditionSensorDefinition(
    "overview",
    target=dg.AssetSelection.assets(recipe_comparison.key, plan.key),
    default_status=dg.DefaultSensorStatus.STOPPED,
    minimum_interval_seconds=60,
    description="Compares the recipes anew when a quality report was made, and plans all of them every hour.",
)

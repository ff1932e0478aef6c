"""Observed asset: what a run of each recipe would compute, and why.

Observed and not materialised, so that it is never part of a run of the chain.
"""

import warnings
from typing import Any

import dagster as dg

from distill_pipeline.chain.plan import RecipePlan, plan_recipes
from distill_pipeline.chain.stages import STAGES
from distill_pipeline.defs.jobs import ALL_RECIPES
from distill_pipeline.defs.resources import DistillHome, bound
from distill_pipeline.release.card import markdown_table
from distill_pipeline.store.keys import fingerprint


def _observe(distill_home: DistillHome) -> dg.ObserveResult:
    """Plan every recipe; nothing is computed."""
    problems = distill_home.home.load_recipes()[1]
    plans = plan_recipes(distill_home.home, distill_home.recipes())
    states = [planned.state for planned in plans]
    metadata: dict[str, Any] = {
        **{state: states.count(state) for state in ("fresh", "stale", "missing", "unknown")},
        "plan": dg.MetadataValue.md(_by_stage(plans)),
        "why": dg.MetadataValue.md(_reasons(plans)),
    }
    if problems:
        metadata["left_out"] = dg.MetadataValue.md("\n".join(f"- {problem}" for problem in problems))
    content = {planned.recipe: [planned.problem, *(stage.state for stage in planned.stages)] for planned in plans}
    return dg.ObserveResult(data_version=dg.DataVersion(fingerprint(content)), metadata=metadata)


def _by_stage(plans: list[RecipePlan]) -> str:
    unknown = ("unknown",) * len(STAGES)
    rows = [(planned.recipe, *(tuple(stage.state for stage in planned.stages) or unknown)) for planned in plans]
    return markdown_table(["recipe", *STAGES], rows)


def _reasons(plans: list[RecipePlan]) -> str:
    rows: list[tuple[str, ...]] = []
    for planned in plans:
        if planned.problem:
            rows.append((planned.recipe, "", "unknown", planned.problem))
        rows += [(planned.recipe, s.stage, s.state, s.why) for s in planned.stages if s.state != "fresh"]
    return markdown_table(["recipe", "stage", "state", "why"], rows) if rows else "Everything is fresh."


def plan_asset(home: DistillHome) -> Any:
    """Return the asset over one home."""
    with warnings.catch_warnings():
        # Observed assets are in beta in Dagster 1.13.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.observable_source_asset(
            key=home.key("plan"),
            group_name=home.group,
            tags=ALL_RECIPES,
            automation_condition=dg.AutomationCondition.on_cron("0 * * * *"),
            description="What a run of each recipe would compute: each stage is fresh, stale or missing, and why. "
            "Press Observe to update it; nothing is computed.",
        )(bound(_observe, home))

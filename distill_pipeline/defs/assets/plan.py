"""Observed asset: what a run of each recipe would compute, and why.

Observed and not materialised: so it is never part of a run of the chain, and what it says is what was true then.
"""

import warnings
from typing import Any

import dagster as dg

from distill_pipeline.chain.plan import RecipePlan, plan_recipes
from distill_pipeline.chain.stages import STAGES
from distill_pipeline.defs.jobs import ALL_RECIPES
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.stage import GROUP
from distill_pipeline.release.card import markdown_table
from distill_pipeline.store.keys import fingerprint


def _observe(distill_home: DistillHome) -> dg.ObserveResult:
    """Plan every recipe; nothing is computed."""
    recipes, problems = distill_home.home.load_recipes()
    plans = plan_recipes(distill_home.home, recipes.values())
    states = [planned.state for planned in plans]
    metadata: dict[str, Any] = {
        **{state: states.count(state) for state in ("fresh", "stale", "missing", "unknown")},
        "plan": dg.MetadataValue.md(_by_stage(plans)),
        "why": dg.MetadataValue.md(_reasons(plans)),
    }
    if problems:
        metadata["left_out"] = dg.MetadataValue.md("\n".join(f"- {problem}" for problem in problems))
    said = {planned.recipe: [planned.problem, *(stage.state for stage in planned.stages)] for planned in plans}
    return dg.ObserveResult(data_version=dg.DataVersion(fingerprint(said)), metadata=metadata)


def _by_stage(plans: list[RecipePlan]) -> str:
    rows = [
        (p.recipe, *(stage.state for stage in p.stages)) if p.stages else (p.recipe, *(["unknown"] * len(STAGES)))
        for p in plans
    ]
    return markdown_table(["recipe", *STAGES], rows)


def _reasons(plans: list[RecipePlan]) -> str:
    rows: list[tuple[str, ...]] = []
    for planned in plans:
        if planned.problem:
            rows.append((planned.recipe, "", "unknown", planned.problem))
        rows += [(planned.recipe, s.stage, s.state, s.why) for s in planned.stages if s.state != "fresh"]
    return markdown_table(["recipe", "stage", "state", "why"], rows) if rows else "Everything is fresh."


with warnings.catch_warnings():
    # Observed assets are a beta in Dagster 1.13; a materialised one would run with every chain.
    warnings.simplefilter("ignore", dg.BetaWarning)
    plan = dg.observable_source_asset(
        name="plan",
        group_name=GROUP,
        tags=ALL_RECIPES,
        automation_condition=dg.AutomationCondition.on_cron("0 * * * *"),
        description="Per recipe and stage: fresh, stale or missing, and why. Press Observe for what holds now.",
    )(_observe)

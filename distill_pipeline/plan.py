"""What a run of a recipe would compute, and why, without running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from distill_pipeline.stages import StageKey, changes
from distill_pipeline.store import Store


@dataclass(frozen=True)
class StagePlan:
    """What a run would find for one stage.

    fresh: the store holds this very output. stale: this recipe's last output was made of other inputs.
    missing: this recipe has no output of this stage.
    """

    stage: str
    state: Literal["fresh", "stale", "missing"]
    why: str


def plan(store: Store, recipe_name: str, keys: Mapping[str, StageKey]) -> list[StagePlan]:
    """Return the plan of each stage in the chain's order."""
    return [_plan_stage(store, recipe_name, key) for key in keys.values()]


def _plan_stage(store: Store, recipe_name: str, key: StageKey) -> StagePlan:
    before = store.remembered(recipe_name, key.stage)
    if store.contains(key):
        shared = (
            "" if before is not None and not changes(before, key.inputs) else ", made for another recipe or earlier"
        )
        return StagePlan(key.stage, "fresh", f"in the store as {key.fingerprint[:12]}{shared}")
    if before is None:
        return StagePlan(key.stage, "missing", "never made for this recipe")
    changed = changes(before, key.inputs)
    if changed:
        return StagePlan(key.stage, "stale", f"changed: {'; '.join(changed)}")
    return StagePlan(key.stage, "missing", "its output was removed from the store")

"""What a run of a recipe would compute, and why, without running it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.chain.teachers import teacher_name
from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey, changes
from distill_pipeline.store.local import Store
from distill_pipeline.teacher.source import resolve_teacher

ANSWER_TIMEOUT_SECONDS = 5.0
"""Shorter than a run's: a schedule's tick has one minute for all teachers."""

ASKING_SECONDS = 20.0
"""For all teachers together. Those after it are asked with hardly any time for an answer, and stand as last seen."""

Identity = Mapping[str, str]
"""What pins a teacher's files (see `TeacherSource.identity`)."""


@dataclass(frozen=True)
class StagePlan:
    """What a run would find for one stage.

    fresh: the store holds this very output. stale: this recipe's last output was made of other inputs.
    missing: this recipe has no output of this stage.
    """

    stage: str
    state: Literal["fresh", "stale", "missing"]
    why: str


def plan_stages(store: Store, recipe_name: str, keys: Mapping[str, StageKey]) -> list[StagePlan]:
    """Return the plan of each stage in the chain's order."""
    return [_plan_stage(store, recipe_name, key) for key in keys.values()]


def pending(stages: Iterable[StagePlan]) -> list[StagePlan]:
    """Return the stages that a run would compute."""
    return [stage for stage in stages if stage.state != "fresh"]


def _plan_stage(store: Store, recipe_name: str, key: StageKey) -> StagePlan:
    before = store.recorded_inputs(recipe_name, key.stage)
    changed = changes(before, key.inputs) if before is not None else []
    if store.contains(key):
        shared = ", made for another recipe or earlier" if before is None or changed else ""
        return StagePlan(key.stage, "fresh", f"in the store as {key.fingerprint[:12]}{shared}")
    if before is None:
        return StagePlan(key.stage, "missing", "never made for this recipe")
    if changed:
        return StagePlan(key.stage, "stale", f"changed: {'; '.join(changed)}")
    return StagePlan(key.stage, "missing", "its output was removed from the store")


@dataclass(frozen=True)
class RecipePlan:
    """The plan of each stage of one recipe, in the chain's order; or none and the problem that prevents it."""

    recipe: str
    stages: tuple[StagePlan, ...] = ()
    problem: str = ""

    @property
    def state(self) -> str:
        """fresh, stale, missing, or unknown: that of the first stage that a run would compute."""
        if self.problem:
            return "unknown"
        return next((stage.state for stage in pending(self.stages)), "fresh")

    @property
    def why(self) -> str:
        """How many stages a run would compute, from which one on, and why; empty when all are fresh."""
        stages = pending(self.stages)
        if not stages:
            return self.problem
        return f"{len(stages)} of {len(self.stages)} stages, from {stages[0].stage}: {stages[0].why}"


def identify_teachers(
    home: Home, recipes: Iterable[Recipe], clock: Callable[[], float] = time.monotonic
) -> tuple[list[tuple[Recipe, Identity]], dict[str, str]]:
    """Return each recipe with its teacher's present identity, and by recipe why the other teachers can't be found."""
    # Not `find_teacher`, which caches for a process's life: a code server lives for months.
    found: dict[tuple[str, bool], Identity | str] = {}
    identified, problems = [], {}
    end = clock() + ASKING_SECONDS
    for recipe in recipes:
        name = (teacher_name(recipe), recipe.allow_pickled_weights)
        if name not in found:
            try:
                found[name] = resolve_teacher(
                    recipe.teacher_location,
                    recipe.revision,
                    known_commits=home.known_commits,
                    answer_seconds=min(ANSWER_TIMEOUT_SECONDS, max(0.1, end - clock())),
                    allow_pickled_weights=recipe.allow_pickled_weights,
                ).identity
            except (DistillError, OSError) as error:
                found[name] = str(error)
        identity = found[name]
        if isinstance(identity, str):
            problems[recipe.name] = identity
        else:
            identified.append((recipe, identity))
    return identified, problems


def plan_recipes(home: Home, recipes: Iterable[Recipe]) -> list[RecipePlan]:
    """Return the plan of each recipe, by name."""
    identified, problems = identify_teachers(home, recipes)
    plans = [RecipePlan(name, problem=problem) for name, problem in problems.items()]
    for recipe, identity in identified:
        try:
            keys = stage_keys(recipe, identity)
        except DistillError as error:  # a corpus or a word list doesn't exist
            plans.append(RecipePlan(recipe.name, problem=str(error)))
        else:
            plans.append(RecipePlan(recipe.name, tuple(plan_stages(home.store, recipe.name, keys))))
    return sorted(plans, key=lambda plan: plan.recipe)

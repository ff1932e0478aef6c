"""What a run of a recipe would compute, and why, without running it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.chain.teachers import teacher_name
from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey, changes
from distill_pipeline.store.local import Store
from distill_pipeline.teacher.source import TeacherSource, resolve_teacher


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


def _plan_stage(store: Store, recipe_name: str, key: StageKey) -> StagePlan:
    before = store.recorded_inputs(recipe_name, key.stage)
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


ANSWER_TIMEOUT_SECONDS = 5.0
"""A schedule's tick has a minute for all teachers."""


@dataclass(frozen=True)
class RecipePlan:
    """The plan of each stage of one recipe, in the chain's order; or none and the problem that prevents it."""

    recipe: str
    stages: tuple[StagePlan, ...] = ()
    problem: str = ""

    @property
    def state(self) -> str:
        """fresh, stale, missing, or unknown: that of the first stage that a run would compute."""
        first = self._first
        return "unknown" if self.problem else first.state if first else "fresh"

    @property
    def why(self) -> str:
        """How many stages a run would compute, from which one on, and why; empty when all are fresh."""
        first = self._first
        if self.problem or first is None:
            return self.problem
        wanting = sum(stage.state != "fresh" for stage in self.stages)
        return f"{wanting} of {len(self.stages)} stages, from {first.stage}: {first.why}"

    @property
    def _first(self) -> StagePlan | None:
        return next((stage for stage in self.stages if stage.state != "fresh"), None)


def identify_teachers(
    home: Home, recipes: Iterable[Recipe]
) -> tuple[list[tuple[Recipe, Mapping[str, str]]], dict[str, str]]:
    """Return each recipe with what its teacher is now, and what is wrong with the others' teachers by recipe.

    A teacher that can't be found does not stop the others.
    """
    # Not `find_teacher`, which remembers for a process's life: a code server lives for months.
    found: dict[tuple[str, bool], TeacherSource | str] = {}
    identified: list[tuple[Recipe, Mapping[str, str]]] = []
    problems = {}
    for recipe in recipes:
        name = (teacher_name(recipe), recipe.allow_pickled_weights)
        if name not in found:
            try:
                found[name] = resolve_teacher(
                    recipe.teacher_location,
                    recipe.revision,
                    known_commits=home.root / "teachers.json",
                    answer_seconds=ANSWER_TIMEOUT_SECONDS,
                    allow_pickled_weights=recipe.allow_pickled_weights,
                )
            except DistillError as error:
                found[name] = str(error)
        source = found[name]
        if isinstance(source, str):
            problems[recipe.name] = source
        else:
            identified.append((recipe, source.identity))
    return identified, problems


def plan_recipes(home: Home, recipes: Iterable[Recipe]) -> list[RecipePlan]:
    """Return the plan of each recipe, by name."""
    identified, problems = identify_teachers(home, recipes)
    plans = [RecipePlan(name, problem=problem) for name, problem in problems.items()]
    for recipe, identity in identified:
        try:
            keys = stage_keys(recipe, identity)
        except DistillError as error:  # a corpus or a word list that is gone
            plans.append(RecipePlan(recipe.name, problem=str(error)))
        else:
            plans.append(RecipePlan(recipe.name, tuple(plan_stages(home.store, recipe.name, keys))))
    return sorted(plans, key=lambda planned: planned.recipe)

"""What should be distilled again, and when: teachers that moved, and outputs that are stale. Knows no Dagster.

A failed run leaves its recipe as stale as before, so it is found again. That doesn't start run after run, because a
request's key contains the day: the same state of things causes at most one run a day.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from distill_pipeline.chain.plan import ASKING_SECONDS, Identity, pending, plan_stages
from distill_pipeline.chain.stages import RELEASE, stage_keys
from distill_pipeline.chain.teachers import teacher_name
from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store
from distill_pipeline.teacher.source import tracks_branch

SECONDS_BETWEEN_CHECKS = 600.0
"""A tick that is repeated sooner uses the answer of the one before."""


@dataclass(frozen=True)
class BranchState:
    """A branch's commit at the last successful check, and the time of the next one in seconds since the epoch."""

    commit: str = ""
    ask_again_at: float = 0.0


_CURSOR = TypeAdapter(dict[str, BranchState])


@dataclass(frozen=True)
class Request:
    """A run to ask for: its recipe, a key that is asked for only once, and the reason."""

    recipe: str
    key: str
    why: str


@dataclass
class TeacherCheck:
    """What a check of the teachers found, by `teacher@branch`.

    Attributes:
        states: The branches' states.
        moved: The commits before and now of the teachers that moved since the last check.
        problems: Why the others couldn't be checked.
    """

    states: dict[str, BranchState]
    moved: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class HubUnavailable(Exception):
    """A teacher's branch can't be checked now, nor in the next `wait` seconds."""

    def __init__(self, reason: str, wait: float) -> None:
        super().__init__(reason)
        self.wait = wait


def check_teachers(
    recipes: Iterable[Recipe],
    before: Mapping[str, BranchState],
    ask: Callable[[str, str | None], str],
    now: float,
    clock: Callable[[], float] = time.monotonic,
) -> TeacherCheck:
    """Check each teacher whose branch recipes follow, once, unless it was checked a moment ago.

    Those that haven't been asked for longest come first, and after `ASKING_SECONDS` the others wait for the next check:
    a tick that took longer than its limit would lose all answers.

    Args:
        recipes: All recipes.
        before: The states that the last check found.
        ask: Returns the commit of (teacher, branch); raises `HubUnavailable`.
        now: Seconds since the epoch.
        clock: Seconds since any time.
    """
    followed = {teacher_name(recipe): recipe for recipe in recipes if tracks_branch(recipe)}
    check = TeacherCheck({name: before.get(name, BranchState()) for name in followed})
    end = clock() + ASKING_SECONDS
    due = [name for name, state in check.states.items() if now >= state.ask_again_at]
    due.sort(key=lambda name: check.states[name].ask_again_at)
    for asked, name in enumerate(due):
        if clock() >= end:
            check.problems.append(f"the Hub is slow: {len(due) - asked} teachers wait for the next tick, as its first")
            break
        last, recipe = check.states[name], followed[name]
        try:
            commit = ask(recipe.teacher_location, recipe.revision)
        except HubUnavailable as problem:
            check.problems.append(f"{name}: {problem}; asked again later")
            check.states[name] = BranchState(last.commit, now + problem.wait)
            continue
        if commit != last.commit:
            check.moved[name] = (last.commit, commit)
        check.states[name] = BranchState(commit, now + SECONDS_BETWEEN_CHECKS)
    return check


def read_cursor(text: str | None) -> dict[str, BranchState]:
    """Return the branches' states from a sensor's cursor; empty when it can't be read."""
    try:
        return _CURSOR.validate_json(text or "{}")
    except ValidationError:
        return {}


def write_cursor(states: Mapping[str, BranchState]) -> str:
    """Return a sensor's cursor."""
    return _CURSOR.dump_json(dict(sorted(states.items()))).decode()


def released_commit(store: Store, recipe: Recipe) -> str | None:
    """Return the teacher's commit that a recipe's last release was made of: "" if unknown, None without a release."""
    made_of = store.recorded_inputs(recipe.name, RELEASE)
    if made_of is None:
        return None
    manifest = store.manifest(StageKey.of(made_of))
    return str(manifest["facts"].get("teacher", {}).get("commit", "")) if manifest else ""


def find_moved_recipes(
    store: Store, recipes: Iterable[Recipe], states: Mapping[str, BranchState], day: str
) -> list[Request]:
    """Return a request for each released recipe whose teacher has another commit now.

    It is compared with the release, not with an earlier tick: so no change is lost when a tick or a run fails, and
    a recipe that was never run is not started.
    """
    requests = []
    for recipe in filter(tracks_branch, recipes):
        name = teacher_name(recipe)
        commit, released = states.get(name, BranchState()).commit, released_commit(store, recipe)
        if commit and released is not None and released != commit:
            why = f"{name} moved from {released[:12] or 'an unknown commit'} to {commit[:12]}"
            requests.append(Request(recipe.name, f"{recipe.name}@{commit}/{day}", why))
    return requests


def find_stale_recipes(
    store: Store, recipes: Iterable[tuple[Recipe, Identity]], day: str
) -> tuple[list[Request], list[str]]:
    """Return a request for each recipe with a stale or missing output, and for each other a line that says why not."""
    requests, skipped = [], []
    for recipe, identity in recipes:
        try:
            keys = stage_keys(recipe, identity)
        except DistillError as error:  # a corpus or a word list doesn't exist
            skipped.append(f"{recipe.name}: {error}")
            continue
        if store.recorded_inputs(recipe.name, RELEASE) is None:
            # A schedule must not be the first to publish something.
            skipped.append(f"{recipe.name}: never released; run it once by hand")
            continue
        stages = pending(plan_stages(store, recipe.name, keys))
        if not stages:
            skipped.append(f"{recipe.name}: fresh")
            continue
        # The last stage's fingerprint covers those of all before it.
        key = f"{recipe.name}/{keys[RELEASE].fingerprint[:16]}/{day}"
        requests.append(Request(recipe.name, key, f"{stages[0].stage}: {stages[0].why}"))
    return requests, skipped

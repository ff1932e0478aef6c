"""What should be distilled again, and when: teachers that moved, and outputs that are stale. Knows no Dagster.

A run that failed leaves its recipe as stale as before, so it is found again; what keeps that from becoming a storm is
that a request's key holds the day: for one state of things there is at most one run a day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from distill_pipeline.chain.plan import plan_stages
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
    """What the Hub said of one teacher's branch.

    Attributes:
        commit: Where it stood when it was last asked with success; empty when it never was.
        ask_again_at: Seconds since the epoch; before that it isn't asked.
    """

    commit: str = ""
    ask_again_at: float = 0.0


@dataclass(frozen=True)
class Request:
    """A run to ask for: one recipe, and a key under which it is asked for once only."""

    recipe: str
    key: str
    why: str


@dataclass
class TeacherCheck:
    """What one look at the teachers gave.

    Attributes:
        seen: By `teacher@branch`.
        moved: Teachers that moved since they were last seen, with the commit before and now.
        problems: What couldn't be asked.
    """

    seen: dict[str, BranchState]
    moved: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class HubUnavailable(Exception):
    """A teacher's branch can't be asked for now; `wait` is how many seconds the Hub asks to leave it alone."""

    def __init__(self, reason: str, wait: float) -> None:
        super().__init__(reason)
        self.wait = wait


def check_teachers(
    recipes: Iterable[Recipe], before: Mapping[str, BranchState], ask: Callable[[str, str | None], str], now: float
) -> TeacherCheck:
    """Ask once for each teacher that some recipe follows, unless it was asked a moment ago.

    Args:
        recipes: All recipes; pinned and local ones are left alone.
        before: What was seen before.
        ask: Returns the commit of (teacher, branch); raises `HubUnavailable`.
        now: Seconds since the epoch.
    """
    followed = {teacher_name(recipe): recipe for recipe in recipes if tracks_branch(recipe)}
    watch = TeacherCheck({name: before.get(name, BranchState()) for name in followed})
    for name, recipe in followed.items():
        seen = watch.seen[name]
        if now < seen.ask_again_at:
            continue
        try:
            commit = ask(recipe.teacher_location, recipe.revision)
        except HubUnavailable as problem:
            watch.problems.append(f"{name}: {problem}; asked again later")
            watch.seen[name] = BranchState(seen.commit, now + problem.wait)
            continue
        if commit != seen.commit:
            watch.moved[name] = (seen.commit, commit)
        watch.seen[name] = BranchState(commit, now + SECONDS_BETWEEN_CHECKS)
    return watch


def read_cursor(text: str | None) -> dict[str, BranchState]:
    """Return what was seen before from a sensor's cursor; nothing when it can't be read."""
    try:
        values = json.loads(text or "{}")
        return {
            str(name): BranchState(str(seen["commit"]), float(seen["ask_again_at"])) for name, seen in values.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def write_cursor(seen: Mapping[str, BranchState]) -> str:
    """Return a sensor's cursor."""
    return json.dumps({name: asdict(value) for name, value in sorted(seen.items())})


def released_commit(store: Store, recipe: Recipe) -> str | None:
    """Return the teacher's commit that a recipe's last finished release was made of.

    Returns:
        The commit; an empty text when that can't be told any more; None when nothing was ever released.
    """
    made_of = store.recorded_inputs(recipe.name, RELEASE)
    if made_of is None:
        return None
    manifest = store.manifest(StageKey.of(made_of))
    return str(manifest["facts"].get("teacher", {}).get("commit", "")) if manifest else ""


def find_moved_recipes(
    store: Store, recipes: Iterable[Recipe], seen: Mapping[str, BranchState], day: str
) -> list[Request]:
    """Return a request for each released recipe whose teacher stands elsewhere now.

    What counts is what the release was made of, not what an earlier tick saw: so no change is lost when a tick
    or a run fails, and a recipe that nobody ever ran is not begun by itself.
    """
    requests = []
    for recipe in recipes:
        commit = seen.get(teacher_name(recipe), BranchState()).commit
        made_of = released_commit(store, recipe)
        if tracks_branch(recipe) and commit and made_of is not None and made_of != commit:
            why = f"{teacher_name(recipe)} moved from {made_of[:12] or 'an unknown commit'} to {commit[:12]}"
            requests.append(Request(recipe.name, f"{recipe.name}@{commit}/{day}", why))
    return requests


def find_stale_recipes(
    store: Store, recipes: Iterable[tuple[Recipe, Mapping[str, str]]], day: str
) -> tuple[list[Request], list[str]]:
    """Return a request for each recipe with a stale or missing output, and a line for each that is left alone.

    Args:
        store: The stage outputs.
        recipes: Recipes with their teacher's identity.
        day: Goes into the key.
    """
    requests, alone = [], []
    for recipe, identity in recipes:
        try:
            keys = stage_keys(recipe, identity)
        except DistillError as error:  # a corpus or a word list that is gone
            alone.append(f"{recipe.name}: {error}")
            continue
        if store.recorded_inputs(recipe.name, RELEASE) is None:
            # A schedule must not be the first to publish something.
            alone.append(f"{recipe.name}: never released; run it once by hand")
            continue
        wanting = [stage for stage in plan_stages(store, recipe.name, keys) if stage.state != "fresh"]
        if not wanting:
            alone.append(f"{recipe.name}: fresh")
            continue
        # The last stage's fingerprint covers those of all before it.
        key = f"{recipe.name}/{keys[RELEASE].fingerprint[:16]}/{day}"
        requests.append(Request(recipe.name, key, f"{wanting[0].stage}: {wanting[0].why}"))
    return requests, alone

"""Go through every output in the store of this machine, and find what makes a damaged one good again."""

import re
from collections.abc import Collection
from uuid import uuid4

from distill_pipeline.chain.gc import recorded_keys
from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import remove
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store
from distill_pipeline.store.locks import locked
from distill_pipeline.store.output import StoreError, verify_output


def stored_keys(store: Store) -> list[StageKey]:
    """Return the key of each output on this machine, without its inputs."""
    paths = [path for path in sorted(store.root.glob("*/*")) if re.fullmatch("[0-9a-f]{64}", path.name)]
    return [StageKey(path.parent.name, path.name, {}) for path in paths]


def damage(store: Store, key: StageKey) -> str:
    """Return what is wrong with an output on this machine after hashing its files; empty when nothing is."""
    try:
        verify_output(key, store.folder(key))
    except StoreError as error:
        return str(error)
    return ""


def fetched(store: Store, key: StageKey) -> bool:
    """Whether a damaged output could be fetched from the shared store."""
    try:
        store.get(key)
    except StoreError:
        return False
    return True


def recipes_that_make(home: Home, keys: Collection[StageKey]) -> tuple[list[tuple[Recipe, list[str]]], list[str]]:
    """Return recipes whose runs make these outputs again, with the stages, and why other recipes can't be asked."""
    recipes, problems = home.load_recipes()
    found = []
    left = {(key.stage, key.fingerprint) for key in keys}
    for recipe in recipes.values():
        try:
            made = stage_keys(recipe, find_teacher(home, recipe).identity).values()
        except (DistillError, OSError) as error:
            if recorded_keys(home.local_store, recipe.name):  # one that was never run has nothing here
                problems.append(f"{recipe.name}: {error}")
            continue
        own = {(key.stage, key.fingerprint) for key in made}
        if own & left:
            found.append((recipe, [stage for stage, _ in own & left]))
            left -= own
    return found, problems


def discard(store: Store, key: StageKey) -> None:
    """Remove an output that is still damaged when no run holds it; it is made again when a stage needs it."""
    with locked(store.lock(key), lambda: None):
        if damage(store, key):
            doomed = store.folder(key).with_name(f".{key.fingerprint}.{uuid4().hex}.old")
            store.folder(key).rename(doomed)
            remove(doomed)

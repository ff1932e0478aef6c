"""A home whose store holds an output of every stage, written without running any."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from distill_pipeline.chain.gc import Findings, find_leftovers, remove
from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import PICTURED, STAGES, cuts_key, pictures_key, stage_keys, teacher_evaluation_key
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey


def keys_of(home: Home, recipe: Recipe) -> Mapping[str, StageKey]:
    """Return each stage's key, with the teacher as it stands."""
    return stage_keys(recipe, find_teacher(home, recipe).identity)


def fill(home: Home, recipe: Recipe) -> list[StageKey]:
    """Store an output of every stage, as a run of the recipe does; returns their keys."""
    home.save_recipe(recipe)
    keys = list(keys_of(home, recipe).values())
    for key in keys:
        home.store.get_or_make(key, write, recipe_name=recipe.name)
    report = keys[list(STAGES).index("quality_report")]
    beside = [teacher_evaluation_key(report), cuts_key(report)]
    beside += [pictures_key(key) for key in keys if key.stage in PICTURED]
    for key in beside:
        home.store.get_or_make(key, write)
    return [*keys, *beside]


def write(folder: Path) -> dict[str, int]:
    """Write an output of a thousand bytes."""
    (folder / "rows.bin").write_bytes(b"x" * 1000)
    return {}


def clean(home: Home) -> Findings:
    """Remove whatever can go, and return what was found."""
    findings = find_leftovers(home)
    assert all(remove(home, leftover) for leftover in findings.leftovers)
    return findings


def stored(home: Home, keys: list[StageKey]) -> list[bool]:
    """Return which of these outputs the store has."""
    return [home.store.contains(key) for key in keys]


def files_stored(home: Home) -> list[Path]:
    """Return whatever lies in the store."""
    return sorted(home.store.root.rglob("*"))


def leave_something(home: Home, recipe: Callable[..., Recipe]) -> None:
    """Store outputs of a recipe that is gone, and an unfinished one of nobody's."""
    fill(home, recipe(name="gone", pca_dims=2))
    (home.recipes / "gone.yaml").unlink()
    (home.store.root / "static_model" / f".{'0' * 64}.partial").mkdir()

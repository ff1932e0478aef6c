"""The teacher of a recipe, looked up once per process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from distill_pipeline.chain.home import Home
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.teacher.source import TeacherSource, resolve_teacher


def find_teacher(home: Home, recipe: Recipe) -> TeacherSource:
    """Find a recipe's teacher, looking at its files once per process. Raises `TeacherError`."""
    return _find(
        recipe.teacher_location,
        recipe.revision,
        home.root / "teachers.json",
        recipe.patience_seconds,
        recipe.allow_pickled_weights,
    )


@lru_cache(maxsize=64)
def _find(
    location: str, revision: str | None, known_commits: Path, patience_seconds: float, allow_pickled_weights: bool
) -> TeacherSource:
    return resolve_teacher(
        location,
        revision,
        known_commits=known_commits,
        patience_seconds=patience_seconds,
        allow_pickled_weights=allow_pickled_weights,
    )


def teacher_name(recipe: Recipe) -> str:
    """Return `teacher@branch`, under which recipes share one question."""
    return f"{recipe.teacher_location}@{recipe.revision or 'main'}"

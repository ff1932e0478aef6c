"""The teacher of a recipe, looked up once per process."""

from functools import lru_cache

from distill_pipeline.chain.home import Home
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.teacher.source import TeacherSource, resolve_teacher

_resolve_once = lru_cache(maxsize=64)(resolve_teacher)


def find_teacher(home: Home, recipe: Recipe) -> TeacherSource:
    """Return a recipe's teacher, looking at its files once per process. Raises `TeacherError`."""
    return _resolve_once(
        recipe.teacher_location,
        recipe.revision,
        known_commits=home.known_commits,
        patience_seconds=recipe.patience_seconds,
        allow_pickled_weights=recipe.allow_pickled_weights,
    )


def teacher_name(recipe: Recipe) -> str:
    """Return `teacher@branch`: recipes with an equal one follow the same branch."""
    return f"{recipe.teacher_location}@{recipe.revision or 'main'}"

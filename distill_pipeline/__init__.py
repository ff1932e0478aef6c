"""Distil a Sentence Transformer into a static Model2Vec model with Dagster.

From Python: `from distill_pipeline import Recipe, distill`. In a project of Dagster: the component
`distill_pipeline.DistillationComponent`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill_pipeline.api import Distilled, distill
    from distill_pipeline.defs.component import DistillationComponent
    from distill_pipeline.recipe.recipe import Recipe

__all__ = ["DistillationComponent", "Distilled", "Recipe", "distill"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: Dagster imports this package to load the code location."""
    if name == "Recipe":
        from distill_pipeline.recipe.recipe import Recipe

        return Recipe
    if name == "DistillationComponent":
        from distill_pipeline.defs.component import DistillationComponent

        return DistillationComponent
    if name in __all__:
        from distill_pipeline import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names, among which `dg` looks for components."""
    return [*globals(), *__all__]

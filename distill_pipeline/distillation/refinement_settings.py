"""How a recipe refines, with what its refinement decides where the recipe says auto."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from distill_pipeline.distillation.refinements import refinements
from distill_pipeline.distillation.weightings import weightings
from distill_pipeline.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """Fields of the recipe, those that its weighting reads among them, and of its refinement."""

    pca_dims: int | float | str
    weighting: str
    weighting_fields: Mapping[str, Any]
    penalty: float | Literal["auto"]
    balanced: bool
    directions: Literal["sentences", "entries"]
    remove_directions: int
    whitening: float
    similarity_steps: int
    seed: int
    clusters: int | None


def settings_of(recipe: Recipe) -> Settings:
    """Return the settings of a recipe that refines."""
    return Settings(
        pca_dims=recipe.pca_dims or "auto",
        weighting=recipe.resolved("weighting"),
        weighting_fields=weighting_fields(recipe),
        penalty=recipe.resolved("refinement_penalty"),
        balanced=refinements()[recipe.refinement].balanced,
        directions=recipe.directions,
        remove_directions=recipe.remove_directions,
        whitening=recipe.resolved("whitening"),
        similarity_steps=recipe.resolved("similarity_steps"),
        seed=recipe.seed,
        clusters=recipe.vocabulary_quantization,
    )


def weighting_fields(recipe: Recipe) -> dict[str, Any]:
    """Return the fields that the recipe's weighting reads."""
    return {field: getattr(recipe, field) for field in weightings()[recipe.resolved("weighting")].reads}

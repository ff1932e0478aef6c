"""How a recipe's rows are fitted: the recipe's own fields, and what its kind of refinement decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill_pipeline.recipe.recipe import Recipe

METHODS: Mapping[str, Mapping[str, Any]] = {
    # Held-out definitions resemble the fitted ones, so they favour a penalty too small for other kinds of text.
    "dictionary": {"penalties": (0.2,), "similarity_steps": 60, "balanced": False},
    "generated": {"penalties": (0.1, 0.2, 0.4), "similarity_steps": 60, "balanced": False},
    # So do held-out passages, and 200,000 of them would drown the other texts, which hold all frequent words and the
    # forms of questions. Similarity steps improve the passages' own similarities and worsen those of other texts.
    "corpus": {"penalties": (0.4,), "similarity_steps": 0, "balanced": True},
}


@dataclass(frozen=True)
class FitSettings:
    """Fields of a recipe, `auto` resolved, and what its refinement decides.

    Attributes:
        penalties: Ridge penalties to choose from by agreement on held-out texts, smallest first.
        similarity_steps: Steps of gradient descent on the similarities of texts, after the ridge regression.
        balanced: Whether the first group of texts counts as much as all others together, whatever their sizes.
    """

    pca_dims: int | float | str
    weighting: str
    whitening: float
    space: str
    seed: int
    penalties: tuple[float, ...]
    similarity_steps: int
    balanced: bool


def fit_settings(recipe: Recipe) -> FitSettings:
    """Return the settings of a recipe with a refinement."""
    return FitSettings(
        pca_dims=recipe.pca_dims or "auto",
        weighting=recipe.resolved("weighting"),
        whitening=recipe.resolved("whitening"),
        space=recipe.space,
        seed=recipe.seed,
        **METHODS[recipe.resolved("refinement")],
    )

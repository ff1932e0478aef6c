"""Short names: of teachers, and of settings that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

SHIPPED_RECIPES = Path(str(files("distill_pipeline"))) / "data" / "recipes"
"""Recipes that come with the package."""

EMBEDDED = "embedded:"
"""Begins the location of a teacher that an installed package carries."""

ALIASES: Mapping[str, str] = {
    "MODERNBERT_BASE": "nomic-ai/modernbert-embed-base",
    "MODERNBERT_LARGE": "lightonai/modernbert-embed-large",
    "MINILM_EMBEDDED": f"{EMBEDDED}all-MiniLM-L6-v2",
}
"""Short teacher names in capitals, and what they stand for."""

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # What `model2vec.distill` 0.10 does when it is called with a model's name alone.
    "model2vec": {
        "vocabulary": "teacher",
        "refinement": "none",
        "pooling": "mean",
        "precision": "float32",
        "weighting": "zipf",
        "pca_dims": 256,
        "dtype": "float16",
    }
}
"""Fields by a preset's name; what a recipe says besides goes before them."""

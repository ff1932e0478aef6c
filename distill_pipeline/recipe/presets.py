"""Short names for teachers, and for settings that belong together."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

SHIPPED_RECIPES = Path(str(files("distill_pipeline"))) / "data" / "recipes"
"""Folder of the recipes that come with the package."""

EMBEDDED = "embedded:"
"""Prefix of the location of a teacher that an installed package contains."""

ALIASES: Mapping[str, str] = {
    "MODERNBERT_BASE": "nomic-ai/modernbert-embed-base",
    "MODERNBERT_LARGE": "lightonai/modernbert-embed-large",
    "MINILM_EMBEDDED": f"{EMBEDDED}all-MiniLM-L6-v2",
}
"""Locations of teachers by alias."""

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
"""Fields by preset; a recipe's own fields override them."""

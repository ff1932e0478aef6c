"""Short names for teachers, and for settings that belong together."""

import re
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


def derived_name(fields: Mapping[str, Any]) -> str:
    """Return a name made of the repository's, or of the teacher's and its dimensions; never a shipped recipe's."""
    teacher = str(fields.get("teacher", "recipe")).rstrip("/").rsplit("/", 1)[-1]
    base = fields.get("repository") or f"{teacher}-{fields.get('pca_dims', 256)}"
    name = re.sub(r"[^a-z0-9.-]+", "-", str(base).lower())[:60].strip("-.") or "recipe"
    return f"my-{name}" if (SHIPPED_RECIPES / f"{name}.yaml").exists() else name

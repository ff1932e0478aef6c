"""What must hold before a student is released: the evidence is about these very files, and it is good enough."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill_pipeline.errors import DistillError
from distill_pipeline.recipe import Recipe
from distill_pipeline.store import MANIFEST, sha256_of

REPORT = "quality.json"
CARD = "README.md"


class ReleaseRefused(DistillError):
    """A student that must not be released; the message says which figure or file stands against it."""


def model_digest(folder: Path) -> str:
    """Return one sha256 over the names and contents of the model's files, its card excepted."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in {MANIFEST, CARD, REPORT}:
            digest.update(f"{name}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


def failed_floors(recipe: Recipe, quality: Mapping[str, Any]) -> list[str]:
    """Return a line for each of the recipe's floors that the figures don't reach."""
    found = quality["similarity_correlation"]
    if found < recipe.min_similarity_correlation:
        return [f"similarity_correlation {found:.3f} is below the floor {recipe.min_similarity_correlation}"]
    return []


def check_evidence(recipe: Recipe, model: Path, report: Path) -> dict[str, Any]:
    """Return the quality report after checking that it speaks of this model and passes the recipe's floors.

    Raises:
        ReleaseRefused: The report is about other files, or a floor is not reached.
    """
    quality: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    if quality["model_digest"] != model_digest(model):
        raise ReleaseRefused(
            f"{recipe.name}: the quality report is about other files than {model}; materialise quality_report again"
        )
    failed = failed_floors(recipe, quality)
    if failed:
        raise ReleaseRefused(f"{recipe.name} is not released: {'; '.join(failed)}")
    return quality

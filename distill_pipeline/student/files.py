"""The names of a release's files, and which of them are the model."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from distill_pipeline.hub.cards import CARD
from distill_pipeline.recipe.fields import VARIANT
from distill_pipeline.store.disk import MANIFEST, sha256_of

REPORT = "quality.json"
PROVENANCE = "provenance.json"
FIGURES = "figures"
EVAL_RESULTS = ".eval_results"
"""Where the Hub looks for scores."""

_NOT_THE_MODEL = frozenset({MANIFEST, CARD, REPORT, PROVENANCE})


def is_model_file(name: str) -> bool:
    """Whether a release's file is part of the model itself, not card, evidence, figure or variant."""
    top = name.partition("/")[0]
    return name not in _NOT_THE_MODEL and top not in {FIGURES, EVAL_RESULTS} and not VARIANT.fullmatch(top)


def model_digest(folder: Path, names: Collection[str] | None = None) -> str:
    """Return one sha256 over the names and contents of the model's files in a stored student or a release.

    `names` are the release's files, if the folder may hold others.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and is_model_file(name) and (names is None or name in names):
            digest.update(f"{name}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()

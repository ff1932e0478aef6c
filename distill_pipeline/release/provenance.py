"""What a release is made of, as `provenance.json`: teacher, recipe, fingerprints, files, and the runs that made it.

The entry `run` (ids, seconds, machines, versions) differs when the same content is made again. Releases are compared
without it, and without the card's passage about it: otherwise every run would be a new commit.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distill_pipeline.hub.cards import CARD, read_header
from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.recipe import RELEASE_FIELDS, Recipe, is_folder
from distill_pipeline.release.ingredients import Ingredients, licence_text
from distill_pipeline.store.disk import file_table, json_bytes
from distill_pipeline.student.files import PROVENANCE

TAG = "distill-pipeline"
"""Marks the cards of releases."""

RUN_BEGINS, RUN_ENDS = "<!-- run -->", "<!-- /run -->"

_RUN_IN_CARD = re.compile(re.escape(RUN_BEGINS) + ".*?" + re.escape(RUN_ENDS), re.DOTALL)


def without_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with each local path reduced to its last part."""
    changed: dict[str, Any] = {
        "labelled_sets": tuple(
            f"{kind}{colon}{Path(path).name}"
            for kind, colon, path in (name.partition(":") for name in recipe.labelled_sets)
        ),
        "corpus": tuple(_without_path(source) for source in recipe.corpus),
    }
    if is_folder(recipe.teacher):
        changed["teacher"] = recipe.teacher_label
    if isinstance(recipe.words, Path):
        changed["words"] = Path(recipe.words.name)
    if recipe.evaluation_texts is not None:
        changed["evaluation_texts"] = Path(recipe.evaluation_texts.name)
    return recipe.model_copy(update=changed)


def _without_path(source: str) -> str:
    dataset = Dataset.parse(source)
    return Path(source).name if dataset is None else str(dataset.without_path())


def write_provenance(folder: Path, ingredients: Ingredients, override_reason: str) -> None:
    """Write `provenance.json` into a release that is otherwise complete.

    The recipe is written without its destination and device, which change no byte of the student.
    """
    recipe = ingredients.recipe
    content = {
        "format": 1,
        "teacher": {"name": recipe.teacher_label, **ingredients.teacher, "licence": licence_text(ingredients)},
        "recipe": without_paths(recipe).model_dump(mode="json", exclude={*RELEASE_FIELDS, "device"}),
        "fingerprints": dict(ingredients.fingerprints),
        "override_reason": override_reason or None,
        "files": {name: file for name, file in file_table(folder).items() if name != PROVENANCE},
        "run": dict(ingredients.run),
    }
    (folder / PROVENANCE).write_bytes(json_bytes(content))


def without_run_details(name: str, content: bytes) -> bytes | None:
    """Return the content of the card or of the provenance without run details; None for any other file."""
    if name == CARD:
        return _RUN_IN_CARD.sub("", content.decode("utf-8", errors="replace")).encode()
    if name != PROVENANCE:
        return None
    values = read_provenance(content)
    if values is None:
        return content
    values.pop("run", None)
    values["files"].pop(CARD, None)
    return json.dumps(values, sort_keys=True).encode()


def read_provenance(content: bytes | None) -> dict[str, Any] | None:
    """Return the values of a `provenance.json` of this project, or None when the content is something else."""
    try:
        values = json.loads(content or b"")
    except ValueError:
        return None
    return values if isinstance(values, dict) and isinstance(values.get("files"), dict) else None


def is_release(read: Callable[[str], bytes | None]) -> bool:
    """Whether the files of a folder or a repository are a release of this project, whichever version's.

    `read` returns a file's content, or None when there is none of a name.
    """
    provenance = read_provenance(read(PROVENANCE))
    if provenance is not None and "fingerprints" in provenance:
        return True
    return TAG in (read_header(read(CARD) or b"").get("tags") or ())


def released_names(content: bytes | None) -> set[str]:
    """Return the names of the files that a release put into its repository, from its `provenance.json`."""
    values = read_provenance(content)
    return {PROVENANCE, *values["files"]} if values else set()

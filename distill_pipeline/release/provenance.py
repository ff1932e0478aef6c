"""What a release is made of, as `provenance.json`: teacher, recipe, fingerprints, files, and the run that made it.

The part `run` (ids, seconds, machines, versions) describes the runs that made the content. It differs when the same
content is made again, so two releases are compared without it; otherwise every run would be a new commit. The card
shows it between two markers, and is compared without that passage too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.recipe import RELEASE_FIELDS, Recipe, is_folder
from distill_pipeline.store.disk import file_table
from distill_pipeline.student.files import CARD, PROVENANCE

SPEEDS = ("student_texts_per_second", "teacher_texts_per_second")
"""Facts of a quality report's stage that differ from run to run."""

RUN_BEGINS, RUN_ENDS = "<!-- run -->", "<!-- /run -->"

_RUN_IN_CARD = re.compile(re.escape(RUN_BEGINS) + ".*?" + re.escape(RUN_ENDS), re.DOTALL)


def without_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with the last part only of each path on this machine."""
    changed: dict[str, Any] = {}
    if is_folder(recipe.teacher):
        changed["teacher"] = recipe.teacher_label
    if isinstance(recipe.words, Path):
        changed["words"] = Path(recipe.words.name)
    if recipe.evaluation_texts is not None:
        changed["evaluation_texts"] = Path(recipe.evaluation_texts.name)
    changed["labelled_sets"] = tuple(
        f"{kind}:{Path(path).name}" for kind, _, path in (name.partition(":") for name in recipe.labelled_sets)
    )
    changed["corpus"] = tuple(_without_path(source) for source in recipe.corpus)
    return recipe.model_copy(update=changed)


def _without_path(source: str) -> str:
    data_set = Dataset.parse(source)
    return Path(source).name if data_set is None else str(data_set.without_path())


def made_by(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return for each stage which run made it, when, where, in how many seconds and with which libraries.

    For the report's stage, also how many texts per second student and teacher encoded.

    Args:
        manifests: The stages' manifests; stages whose output is gone from the store are left out.
    """
    keys = ("run_id", "machine", "made_at", "seconds", "versions")
    made = {stage: {key: manifest.get(key) for key in keys} for stage, manifest in manifests.items()}
    for stage, manifest in manifests.items():
        for speed in SPEEDS:
            if speed in manifest.get("facts", {}):
                made[stage][speed] = manifest["facts"][speed]
    return made


def write_provenance(
    folder: Path,
    recipe: Recipe,
    *,
    teacher: Mapping[str, str | None],
    fingerprints: Mapping[str, str],
    run: Mapping[str, Any],
    override_reason: str,
) -> None:
    """Write `provenance.json` into a release that is otherwise complete.

    Args:
        folder: The release.
        recipe: The recipe; where it is released is left out, since it decides no byte.
        teacher: Its name, what pins it, and its licence.
        fingerprints: Of each stage.
        run: `made_by` of the stages.
        override_reason: Why it was released against the gate; empty when it passed.
    """
    settings = without_paths(recipe).model_dump(mode="json", exclude={*RELEASE_FIELDS, "device"})
    content = {
        "format": 1,
        "teacher": dict(teacher),
        "recipe": settings,
        "fingerprints": dict(fingerprints),
        "override_reason": override_reason or None,
        "files": {name: file for name, file in file_table(folder).items() if name != PROVENANCE},
        "run": dict(run),
    }
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def without_run_details(name: str, content: bytes) -> bytes | None:
    """Return a file's content without what depends on the run that made it; None for a file without such parts."""
    if name == CARD:
        return _RUN_IN_CARD.sub("", content.decode("utf-8", errors="replace")).encode()
    if name == PROVENANCE:
        values = read_provenance(content)
        if values is None:
            return content
        values.pop("run", None)
        values["files"].pop(CARD, None)
        return json.dumps(values, sort_keys=True).encode()
    return None


def read_provenance(content: bytes | None) -> dict[str, Any] | None:
    """Return the values of a `provenance.json` of this project, or None when the content is something else."""
    try:
        values = json.loads(content or b"")
    except ValueError:
        return None
    if not (isinstance(values, dict) and isinstance(values.get("files"), dict)):
        return None
    return values


def released_names(content: bytes | None) -> set[str]:
    """Return the names of the files that a release put into its repository."""
    values = read_provenance(content)
    return {PROVENANCE, *values["files"]} if values else set()

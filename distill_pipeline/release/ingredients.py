"""Gather from the store what a release is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill_pipeline.chain.cuts import student_cuts
from distill_pipeline.chain.pictures import stage_pictures
from distill_pipeline.chain.stages import PICTURED, RELEASE, stage_keys
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.local import Store, upstream_output
from distill_pipeline.store.output import Output
from distill_pipeline.teacher.source import TeacherSource

SPEEDS = ("student_texts_per_second", "student_ran_on", "teacher_texts_per_second", "teacher_ran_on")
"""Facts of the quality report's stage that differ from run to run."""


@dataclass(frozen=True)
class Ingredients:
    """What a release is made of: the stored student and quality report, and details of all stages before the release.

    `cuts` are what `student_cuts` returns, `pictures` are folders with a folder `figures` each, `run` is what
    `run_details` returns, `licence` and `prompts` are those of `TeacherSource`, `private` is what `is_private` says.
    Only the variant router needs `teacher_source`.
    """

    recipe: Recipe
    model: Output
    quality: Output
    run: Mapping[str, Mapping[str, Any]]
    fingerprints: Mapping[str, str]
    teacher: Mapping[str, str]
    licence: Mapping[str, Any] | None
    cuts: Sequence[Mapping[str, Any]] = ()
    pictures: Sequence[Path] = ()
    teacher_source: TeacherSource | None = None
    prompts: str = ""
    private: bool = False


def gather(store: Store, recipe: Recipe, teacher: TeacherSource) -> Ingredients:
    """Return what this recipe's release is made of, verified; pictures and cuts are made if they aren't there yet.

    Raises:
        StoreError: One of them is missing from the store or damaged; the message says how to make it.
        TeacherError: The Hub refuses the teacher's card, or can't be asked whether the teacher is private.
    """
    keys = stage_keys(recipe, teacher.identity)
    del keys[RELEASE]
    model, quality = (upstream_output(store, recipe.name, keys[stage]) for stage in ("static_model", "quality_report"))
    manifests = {stage: manifest for stage, key in keys.items() if (manifest := store.manifest(key)) is not None}
    fingerprints = {stage: key.fingerprint for stage, key in keys.items()}
    return Ingredients(
        recipe=recipe,
        model=model,
        quality=quality,
        run=run_details(manifests),
        fingerprints=fingerprints,
        teacher=teacher.identity,
        licence=teacher.licence,
        cuts=student_cuts(store, recipe, keys),
        pictures=[stage_pictures(store, recipe.name, keys, stage) for stage in PICTURED],
        teacher_source=teacher,
        prompts=teacher.prompts,
        private=is_private(recipe, teacher),
    )


def run_details(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return for each stage the run that made it, when, where, in how many seconds and with which libraries.

    The quality report's stage also has the texts per second that student and teacher encoded, and on what.
    """
    keys = ("run_id", "machine", "made_at", "seconds", "versions")
    return {
        stage: {key: manifest.get(key) for key in keys}
        | {speed: facts[speed] for facts in [manifest.get("facts", {})] for speed in SPEEDS if speed in facts}
        for stage, manifest in manifests.items()
    }


def licence_text(ingredients: Ingredients) -> str | None:
    """Return the names of the teacher's licence, or None when none is known."""
    entries = ingredients.licence or {}
    stated = entries.get("license_name", entries.get("license"))
    return ", ".join(stated) if isinstance(stated, list) else stated


def is_private(recipe: Recipe, teacher: TeacherSource) -> bool:
    """Whether a recipe's repository on the Hub is to be private: as it says, else as the teacher's is.

    Raises:
        TeacherError: The Hub can't be asked about the teacher.
    """
    if recipe.private == "auto":
        return recipe.repository is not None and teacher.hidden is not None
    return recipe.private

"""Gather from the store what a release is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill_pipeline.chain.stages import RELEASE, stage_keys
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.local import Store, upstream_output
from distill_pipeline.store.output import Output
from distill_pipeline.teacher.source import TeacherSource


@dataclass(frozen=True)
class Ingredients:
    """What a release is made of.

    Attributes:
        recipe: The recipe.
        model: The stored student.
        quality: The stored quality report.
        manifests: Manifests of the stages before the release, as far as the store has them.
        fingerprints: Fingerprints of the stages before the release.
        teacher: What pins the teacher's files.
        licence: The card header's licence entries of the teacher's own card.
    """

    recipe: Recipe
    model: Output
    quality: Output
    manifests: Mapping[str, Mapping[str, Any]]
    fingerprints: Mapping[str, str]
    teacher: Mapping[str, str]
    licence: Mapping[str, str]


def gather(store: Store, recipe: Recipe, teacher: TeacherSource) -> Ingredients:
    """Return what this recipe's release is made of, with student and report verified.

    Raises:
        StoreError: One of them isn't in the store or is damaged; the message says how to make it.
        TeacherError: The teacher's card can't be fetched.
    """
    keys = stage_keys(recipe, teacher.identity)
    del keys[RELEASE]
    outputs = {stage: upstream_output(store, recipe.name, keys[stage]) for stage in ("static_model", "quality_report")}
    manifests = {stage: store.manifest(key) for stage, key in keys.items()}
    return Ingredients(
        recipe,
        outputs["static_model"],
        outputs["quality_report"],
        {stage: manifest for stage, manifest in manifests.items() if manifest is not None},
        {stage: key.fingerprint for stage, key in keys.items()},
        teacher.identity,
        teacher.licence,
    )

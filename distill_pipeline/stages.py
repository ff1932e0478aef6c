"""The chain: its stages, what each reads of a recipe, and the fingerprints that follow.

The one home of the stages' names, code versions, order and inputs; the assets and the plan ask here.
Knows nothing of Dagster.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill_pipeline.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """One link of the chain.

    `version` changes whenever the stage's code gives other bytes for the same inputs.
    """

    name: str
    version: str
    upstream: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    reads_teacher: bool = False


STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "tokenizer_vocabulary",
            version="1",
            reads=("vocabulary", "token_remove_pattern", "words_as", "prompt"),
            reads_teacher=True,
        ),
        Stage(
            "teacher_token_embeddings",
            version="2",
            upstream=("tokenizer_vocabulary",),
            reads=("pooling", "precision", "precision_floor", "trust_remote_code"),
            reads_teacher=True,
        ),
        Stage(
            "reduced_matrix",
            version="1",
            upstream=("tokenizer_vocabulary", "teacher_token_embeddings"),
            reads=("weighting", "sif_coefficient", "pca_dims", "vocabulary_quantization"),
        ),
        Stage(
            "static_model",
            version="1",
            upstream=("tokenizer_vocabulary", "reduced_matrix"),
            reads=("teacher_label", "pooling", "weighting", "sif_coefficient", "pca_dims", "dtype"),
        ),
        Stage(
            "quality_report",
            version="1",
            upstream=("static_model",),
            reads=("prompt", "trust_remote_code"),
            reads_teacher=True,
        ),
        Stage(
            "hub_release",
            version="1",
            upstream=("static_model", "quality_report"),
            reads=("name", "repository", "private", "commit_message", "min_similarity_correlation"),
        ),
    )
}


@dataclass(frozen=True)
class StageKey:
    """A stage's address in the store, and all that it was made of."""

    stage: str
    fingerprint: str
    inputs: Mapping[str, Any]


def stage_keys(recipe: Recipe, teacher_identity: Mapping[str, str]) -> dict[str, StageKey]:
    """Return each stage's key for this recipe, in the chain's order.

    Args:
        recipe: The recipe.
        teacher_identity: What pins the teacher's files (see `TeacherSource.identity`).
    """
    keys: dict[str, StageKey] = {}
    for stage in STAGES.values():
        inputs: dict[str, Any] = {
            "stage": stage.name,
            "code_version": stage.version,
            "upstream": {name: keys[name].fingerprint for name in stage.upstream},
            "recipe": {field: _canonical(getattr(recipe, field)) for field in stage.reads},
        }
        if stage.reads_teacher:
            inputs["teacher"] = dict(teacher_identity)
        keys[stage.name] = StageKey(stage.name, fingerprint(inputs), inputs)
    return keys


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """Return the sha256 (64 hexadecimal digits) of the inputs' canonical JSON."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, Path):
        return {"words_sha256": hashlib.sha256(value.read_bytes()).hexdigest()}
    return list(value) if isinstance(value, tuple) else value


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Name each input that differs, e.g. `pca_dims: 256 -> 128` or `upstream reduced_matrix`.

    Args:
        before: `StageKey.inputs` of an earlier output.
        after: Those of the wanted one.
    """
    found = []
    if before.get("code_version") != after.get("code_version"):
        found.append(f"code version: {before.get('code_version')} -> {after.get('code_version')}")
    for group, label in (("recipe", ""), ("teacher", "teacher ")):
        old, new = before.get(group, {}), after.get(group, {})
        found += [
            f"{label}{field}: {old.get(field)} -> {new.get(field)}"
            for field in sorted({*old, *new})
            if old.get(field) != new.get(field)
        ]
    old, new = before.get("upstream", {}), after.get("upstream", {})
    found += [f"upstream {name}" for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return found

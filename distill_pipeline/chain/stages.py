"""The chain: its stages, what each reads of a recipe, and the fingerprints that follow.

The one home of the stages' names, code versions, order and inputs; the assets and the plan ask here.
Knows nothing of Dagster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from distill_pipeline.quality.agreement import evaluation_texts
from distill_pipeline.quality.labelled import set_identity
from distill_pipeline.quality.measures import FLOORS
from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import Stamp, sha256_of, stamps
from distill_pipeline.store.keys import StageKey
from distill_pipeline.texts.corpus import source_files
from distill_pipeline.texts.refinements import CORPUS_FIELDS, fields_of_texts

RELEASE = "hub_release"

Reads = Callable[[Recipe], tuple[str, ...]]
"""Which fields a stage reads of a recipe."""


@dataclass(frozen=True)
class Stage:
    """One link of the chain.

    Attributes:
        version: Changes whenever the stage's code gives other bytes for the same inputs.
        reads: Which fields it reads of a recipe.
        kinds: What the UI tags it with.
        upstream: The stages whose outputs it reads.
        reads_teacher: Whether it reads the teacher's files for this recipe.
    """

    name: str
    version: str
    reads: Reads
    kinds: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    reads_teacher: Callable[[Recipe], bool] = lambda _: False


def _always(*fields: str) -> Reads:
    return lambda _: fields


def _vocabulary_reads(recipe: Recipe) -> tuple[str, ...]:
    fields: tuple[str, ...] = ("vocabulary", "words", "language", "prompt")
    if recipe.vocabulary == "words":
        fields += ("vocabulary_words", "lowercase")
        if recipe.refinement == "corpus" and recipe.phrases:
            fields += ("phrases", *CORPUS_FIELDS)
    if recipe.words_from == "corpus":
        fields += ("words_from", *CORPUS_FIELDS)
    return fields


def _sentences_read(recipe: Recipe) -> tuple[str, ...]:
    if recipe.refinement == "none":
        return ("refinement",)
    return ("refinement", "seed", *_TEACHER_RUN, "prompt", *fields_of_texts(recipe))


def _matrix_reads(recipe: Recipe) -> tuple[str, ...]:
    fields = ("refinement", "weighting", "pca_dims")
    return fields if recipe.refinement == "none" else (*fields, "whitening", "seed")


TEACHER_SIDE, MODEL2VEC_SIDE = "teacher_evaluation", "model2vec_evaluation"

_TEACHER_RUN = ("pooling", "precision", "trust_remote_code")

STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "vocabulary",
            version="4",
            kinds=("python", "parquet"),
            reads=_vocabulary_reads,
            reads_teacher=lambda _: True,
        ),
        Stage(
            "token_embeddings",
            version="4",
            kinds=("pytorch", "parquet"),
            upstream=("vocabulary",),
            reads=_always(*_TEACHER_RUN),
            reads_teacher=lambda _: True,
        ),
        Stage(
            "text_embeddings",
            version="11",
            kinds=("pytorch", "parquet"),
            reads=_sentences_read,
            reads_teacher=lambda recipe: recipe.refinement != "none",
        ),
        Stage(
            "student_matrix",
            version="13",
            kinds=("numpy", "parquet"),
            upstream=("vocabulary", "token_embeddings", "text_embeddings"),
            reads=_matrix_reads,
        ),
        Stage(
            "static_model",
            version="4",
            kinds=("model2vec", "huggingface"),
            upstream=("vocabulary", "student_matrix"),
            reads=_always("teacher_label", "pooling", "weighting", "pca_dims", "dtype"),
        ),
        Stage(
            "quality_report",
            version="8",
            kinds=("python", "json"),
            upstream=("static_model",),
            reads=_always(
                *("prompt", "trust_remote_code", "language", "evaluation_texts", "labelled_sets"),
                "compare_with_model2vec",
            ),
            reads_teacher=lambda _: True,
        ),
        Stage(
            RELEASE,
            version="5",
            kinds=("huggingface",),
            upstream=("static_model", "quality_report"),
            reads=_always(
                *("name", "repository", "private", "pull_request", "branch", "tag", "commit_message"),
                *(f"min_{figure}" for figure in FLOORS),
                *("max_regression", "variants"),
            ),
        ),
    )
}


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
            "recipe": {field: _canonical(field, recipe.resolved(field)) for field in stage.reads(recipe)},
        }
        if stage.reads_teacher(recipe):
            inputs["teacher"] = dict(teacher_identity)
        keys[stage.name] = StageKey.of(inputs)
    return keys


def same_encoding(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two outputs of a stage were asked of the same teacher in the same way, be it of other texts.

    Args:
        one: `StageKey.inputs` of the one.
        other: Those of the other.
    """
    read, also_read = one["recipe"], other["recipe"]
    return all(one.get(name) == other.get(name) for name in ("stage", "code_version", "teacher")) and all(
        read.get(field) == also_read.get(field) for field in (*_TEACHER_RUN, "prompt")
    )


def teacher_evaluation_key(report: StageKey) -> StageKey:
    """Return the key of the teacher's part in a quality report: the same for every student of this teacher."""
    return _side_key(report, TEACHER_SIDE)


def model2vec_evaluation_key(report: StageKey, student: StageKey) -> StageKey:
    """Return the key of what a quality report measures of model2vec's student of the same teacher."""
    return _side_key(report, MODEL2VEC_SIDE, static_model=student.fingerprint)


def _side_key(report: StageKey, name: str, **upstream: str) -> StageKey:
    """Return the key of what is no stage, but lies in the store beside the stages' outputs: measured as the report is,
    and not of its student."""
    read = {field: value for field, value in report.inputs["recipe"].items() if field != "compare_with_model2vec"}
    return StageKey.of({**report.inputs, "stage": name, "recipe": read, "upstream": upstream})


def _canonical(field: str, value: Any) -> Any:
    """Return a field's value as JSON; a file counts by its content, wherever it lies."""
    if field == "corpus":
        return [_source_identity(source) for source in value]
    if field == "labelled_sets":
        return [set_identity(name) for name in value]
    if field == "evaluation_texts" and value is not None:
        evaluation_texts(value)  # a bad file is known of before the first stage
    if isinstance(value, Path):
        return {"sha256": sha256_of(value)}
    return list(value) if isinstance(value, tuple) else value


def _source_identity(source: str) -> dict[str, Any]:
    files = source_files(source)
    if not files:
        return {"data_set": source}
    found: dict[str, Any] = {"column": source.partition("#")[2], "sha256": sorted(map(_digest_of, files))}
    data_set = Dataset.parse(source)
    return found if data_set is None else {**found, "part": [data_set.config, data_set.split]}


_SETTLED_NS = 2_000_000_000


def _digest_of(path: Path) -> str:
    """Return a file's sha256, read once per process: a corpus has gigabytes, and each stage and check asks for it."""
    [file] = stamps([path])
    if time.time_ns() - file.mtime_ns < _SETTLED_NS:  # it may be written again within the clock's grain
        return sha256_of(path)
    return _remembered_digest(file)


@lru_cache(maxsize=4096)
def _remembered_digest(file: Stamp) -> str:
    return sha256_of(file.path)

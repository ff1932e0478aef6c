"""The stages: their names, order, code versions and inputs, and the fingerprints that follow. Knows no Dagster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from distill_pipeline.errors import RecipeError, explained
from distill_pipeline.quality.agreement import check_language, evaluation_texts
from distill_pipeline.quality.labelled import check_set, set_identity
from distill_pipeline.quality.measures import FLOORS
from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import Stamp, sha256_of, stamps
from distill_pipeline.store.keys import StageKey
from distill_pipeline.texts.corpus import explaining_corpus, source_files
from distill_pipeline.texts.files import check_text_file, read_words
from distill_pipeline.texts.refinements import CORPUS_FIELDS, check_texts, text_fields

RELEASE = "hub_release"

PICTURED = ("student_matrix", "static_model", "quality_report")
"""The stages that have pictures."""

Fields = tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """One stage of the chain.

    Attributes:
        version: Changes whenever the stage's code gives other bytes for the same inputs.
        kinds: Its tags in the UI.
        reads: Returns the fields that the stage reads of a recipe; `teacher` means the teacher's files.
        upstream: The stages whose outputs it reads.
    """

    name: str
    version: str
    kinds: tuple[str, ...]
    reads: Callable[[Recipe], Fields]
    upstream: tuple[str, ...] = ()


_ENCODING = ("pooling", "precision", "trust_remote_code")
"""Fields that decide how the teacher encodes."""


def _vocabulary_fields(recipe: Recipe) -> Fields:
    fields: Fields = ("teacher", "vocabulary", "words", "language", "prompt")
    if recipe.vocabulary == "words":
        fields += ("vocabulary_words", "lowercase")
        if recipe.max_entries is not None:
            fields += ("max_entries",)
        if recipe.refinement == "corpus" and recipe.phrases:
            fields += ("phrases", *CORPUS_FIELDS)
    if recipe.words_from == "corpus":
        fields += ("words_from", *CORPUS_FIELDS)
    return fields


def _text_embeddings_fields(recipe: Recipe) -> Fields:
    if recipe.refinement == "none":
        return ("refinement",)
    return ("teacher", "refinement", "seed", *_ENCODING, "prompt", *text_fields(recipe))


def _matrix_fields(recipe: Recipe) -> Fields:
    fields = ("refinement", "weighting", "pca_dims")
    return fields if recipe.refinement == "none" else (*fields, "whitening", "seed", "space")


def _report_fields(recipe: Recipe) -> Fields:
    sets = ("language", "evaluation_texts", "labelled_sets")
    # Of a corpus, passages that no fit reads.
    corpus: Fields = ("corpus",) if recipe.corpus and recipe.evaluation_texts is None else ()
    return ("teacher", "prompt", "precision", "trust_remote_code", *sets, *corpus, "compare_with_model2vec")


def _release_fields(_: Recipe) -> Fields:
    place = ("name", "repository", "private", "pull_request", "branch", "tag", "commit_message")
    return (*place, *(f"min_{figure}" for figure in FLOORS), "min_scores", "max_regression", "variants")


STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("vocabulary", version="7", kinds=("python", "parquet"), reads=_vocabulary_fields),
        Stage(
            "token_embeddings",
            version="6",
            kinds=("pytorch", "parquet"),
            reads=lambda _: ("teacher", *_ENCODING),
            upstream=("vocabulary",),
        ),
        Stage("text_embeddings", version="15", kinds=("pytorch", "parquet"), reads=_text_embeddings_fields),
        Stage(
            "student_matrix",
            version="17",
            kinds=("numpy", "parquet"),
            reads=_matrix_fields,
            upstream=("vocabulary", "token_embeddings", "text_embeddings"),
        ),
        Stage(
            "static_model",
            version="7",
            kinds=("model2vec", "huggingface"),
            reads=lambda _: ("teacher_label", "pooling", "weighting", "pca_dims", "space", "dtype"),
            upstream=("vocabulary", "student_matrix"),
        ),
        Stage(
            "quality_report", version="14", kinds=("python", "json"), reads=_report_fields, upstream=("static_model",)
        ),
        Stage(
            RELEASE,
            version="8",
            kinds=("huggingface",),
            reads=_release_fields,
            upstream=("static_model", "quality_report"),
        ),
    )
}
"""The stages by name, in the chain's order."""


def stage_keys(recipe: Recipe, teacher_identity: Mapping[str, str]) -> dict[str, StageKey]:
    """Return each stage's key for this recipe, in the chain's order; the identity pins the teacher's files.

    Raises:
        DistillError: A file that the recipe names, or the dictionary that it needs, can't be used.
    """
    check_texts(recipe)
    if not recipe.corpus:
        check_language(recipe)
    keys: dict[str, StageKey] = {}
    for stage in STAGES.values():
        fields = {field: recipe.resolved(field) for field in stage.reads(recipe)}
        teacher = {"teacher": dict(teacher_identity)} if fields.pop("teacher", None) else {}
        inputs = {
            "stage": stage.name,
            "code_version": stage.version,
            "upstream": {name: keys[name].fingerprint for name in stage.upstream},
            "recipe": {field: _identity(field, value) for field, value in fields.items()},
            **teacher,
        }
        keys[stage.name] = StageKey.of(inputs)
    return keys


def same_encoding(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two outputs, given by their inputs, were encoded by the same teacher in the same way."""
    return all(one.get(name) == other.get(name) for name in ("stage", "code_version", "teacher")) and all(
        one["recipe"].get(field) == other["recipe"].get(field) for field in (*_ENCODING, "prompt")
    )


def teacher_evaluation_key(report: StageKey) -> StageKey:
    """Return the key of the teacher's part in a quality report: the same for every student of this teacher."""
    return _evaluation_key(report, "teacher_evaluation")


def model2vec_evaluation_key(report: StageKey, token_embeddings: StageKey, dimensions: int) -> StageKey:
    """Return the key of a quality report's figures for model2vec's student of the same teacher."""
    upstream = {"token_embeddings": token_embeddings.fingerprint}
    return _evaluation_key(report, "model2vec_evaluation", upstream=upstream, dimensions=dimensions)


def model2vec_student_key(token_embeddings: StageKey) -> StageKey:
    """Return the key of model2vec's student of the same teacher in all dimensions."""
    upstream = {"token_embeddings": token_embeddings.fingerprint}
    return StageKey.of({"stage": "model2vec_student", "code_version": "1", "upstream": upstream})


def pictures_key(stage: StageKey) -> StageKey:
    """Return the key of the pictures of a stage's output, which are no part of it: a sweep draws none."""
    return StageKey.of({"stage": "pictures", "code_version": "1", "upstream": {stage.stage: stage.fingerprint}})


def cuts_key(report: StageKey) -> StageKey:
    """Return the key of what a report's student keeps with fewer of its dimensions."""
    return StageKey.of({"stage": "student_cuts", "code_version": "1", "upstream": {report.stage: report.fingerprint}})


def _evaluation_key(report: StageKey, name: str, **own: Any) -> StageKey:
    """Return the key of an output that is no stage's, made with a report's settings of another model."""
    fields = {field: value for field, value in report.inputs["recipe"].items() if field != "compare_with_model2vec"}
    return StageKey.of({**report.inputs, "stage": name, "recipe": fields, "upstream": {}, **own})


def _identity(field: str, value: Any) -> Any:
    """Return what a field's value counts as, in JSON; a file counts by its content, wherever it is."""
    with explained(RecipeError, f"{field}={value}"):
        return _content_of(field, value)


def _content_of(field: str, value: Any) -> Any:
    if field == "corpus":
        return [_source_identity(source) for source in value]
    # These raise here, before the first stage, when a file is bad.
    if field == "labelled_sets":
        for name in value:
            check_set(name)
        return [set_identity(name) for name in value]
    if field == "evaluation_texts" and value is not None:
        evaluation_texts(value)
    if field == "words":
        read_words(value)
    if isinstance(value, Path):
        return {"sha256": sha256_of(value)}
    return list(value) if isinstance(value, tuple) else value


def _source_identity(source: str) -> dict[str, Any]:
    files, column = source_files(source)
    if not files:
        return {"data_set": source}
    dataset = Dataset.parse(source)
    found: dict[str, Any] = {"column": column, "sha256": sorted(map(sha256_of, files))}
    if dataset:
        return {**found, "part": [dataset.config, dataset.split]}
    with explaining_corpus():
        for file in stamps(files):
            _checked(file, column)
    return found


@lru_cache(maxsize=4096)
def _checked(file: Stamp, column: str) -> None:
    check_text_file(file.path, column)

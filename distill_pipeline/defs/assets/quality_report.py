"""Asset: what the student lost against its teacher."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt

from distill_pipeline.chain.baseline import BASELINE_STAGES, baseline_recipe, baseline_record
from distill_pipeline.chain.stages import model2vec_evaluation_key, teacher_evaluation_key
from distill_pipeline.defs.assets import static_model, student_matrix, token_embeddings, vocabulary
from distill_pipeline.defs.encode import EncoderConfig, one_teacher_at_a_time
from distill_pipeline.defs.pictures import pictures_metadata, write_pictures
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.stage import StageConfig, StageRun, Work, materialize_stage, stage_asset
from distill_pipeline.figures.captions import KINDS, SIMILARITIES
from distill_pipeline.figures.pictures import draw_quality
from distill_pipeline.quality.agreement import (
    Encode,
    choose_evaluation_texts,
    compare,
    frequent_words,
    nearest_examples,
    nearest_words,
    texts_per_second,
    weights_bytes,
)
from distill_pipeline.quality.labelled import score_set, set_identity
from distill_pipeline.quality.measures import MEASURES, comparable_figures, kinds_table
from distill_pipeline.release.card import markdown_table, word_table
from distill_pipeline.release.gate import read_report
from distill_pipeline.store.disk import write_json
from distill_pipeline.store.embeddings import Embeddings, embedding_array, part_name, write_table
from distill_pipeline.store.output import Output, StoreError
from distill_pipeline.student.files import REPORT, model_digest

WORDS = "words.parquet"


@stage_asset(pool="teacher")
def quality_report(
    context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome
) -> dg.MaterializeResult[Any]:
    """Teacher and student side by side on the same texts: agreement, size and speed."""
    target = distill_home.releases / context.partition_key / REPORT
    return materialize_stage(
        context, config, distill_home, _work, describe=lambda output: _describe(output, _read(target))
    )


def _work(run: StageRun) -> Mapping[str, Any]:
    from model2vec import StaticModel

    model = run.upstream("static_model")
    student = StaticModel.from_pretrained(model.folder)
    texts, described = choose_evaluation_texts(run.recipe.evaluation_texts, run.recipe.language)
    run.log(f"comparing on {len(texts)} {described}")
    words = frequent_words(run.recipe.language)
    teacher = _teacher_side(run, texts, words)
    theirs, ours = Embeddings.of_parts(teacher.folder).all(), np.asarray(student.encode(texts))
    scores = teacher.facts["scores"]
    report = {
        **compare(theirs, ours),
        "texts": len(texts),
        "texts_are": described,
        "examples": nearest_examples(texts, theirs, ours),
        "word_examples": _word_examples(teacher, words, student.encode),
        "labelled_sets": [
            {**entry, "teacher": teachers} for entry, teachers in zip(_scores(run, student.encode), scores, strict=True)
        ],
        "model2vec": _model2vec_side(run, model.facts["dimensions"], texts, theirs),
        "model_digest": model_digest(model.folder),
        "student_bytes": weights_bytes(model.folder),
        "teacher_bytes": weights_bytes(run.teacher_source.folder),
    }
    write_json(run.folder / REPORT, report)
    write_pictures(run.folder, draw_quality(report, theirs, ours))
    # Speed differs from run to run, so it is kept out of the report, whose bytes are reproducible.
    return {
        "student_texts_per_second": round(texts_per_second(student.encode, texts)),
        "teacher_texts_per_second": teacher.facts["texts_per_second"],
    }


def _scores(run: StageRun, encode: Encode) -> list[dict[str, Any]]:
    """Return a student's score on each labelled set of the recipe."""
    return [{**set_identity(name), "student": score_set(name, encode)} for name in run.recipe.labelled_sets]


def _teacher_side(run: StageRun, texts: Sequence[str], words: Sequence[str]) -> Output:
    """Return the teacher's embeddings of texts and words, and its scores: the same for every student of this teacher.

    They lie in the store beside the stages' outputs, so that a sweep runs the teacher once.
    """

    def make(folder: Path) -> Mapping[str, Any]:
        with one_teacher_at_a_time(run):
            encode = partial(run.load_teacher().encode, prompt=run.recipe.prompt)
            for path, some in ((folder / part_name(0), texts), (folder / WORDS, words)):
                if some:
                    write_table(path, {"text": some, "embedding": embedding_array(encode(some))})
            return {
                "scores": [score_set(name, encode) for name in run.recipe.labelled_sets],
                "texts_per_second": round(texts_per_second(encode, texts[:16])),
            }

    return run.home.store.get_or_make(teacher_evaluation_key(run.keys["quality_report"]), make, log=run.log)[0]


def _word_examples(teacher: Output, words: Sequence[str], encode: Encode) -> list[dict[str, Any]]:
    if not words:
        return []
    return nearest_words(words, Embeddings([teacher.folder / WORDS]).all(), np.asarray(encode(words)))


def _model2vec_side(
    run: StageRun, dimensions: int, texts: Sequence[str], theirs: npt.NDArray[np.floating]
) -> Mapping[str, Any] | None:
    """Return the measures of what model2vec.distill makes of this teacher in as many dimensions.

    None when the recipe doesn't ask for it, or makes this very student.
    """
    plain = _baseline_student(run, dimensions) if run.recipe.compare_with_model2vec else None
    if plain is None:
        return None

    def make(_: Path) -> Mapping[str, Any]:
        from model2vec import StaticModel

        student = StaticModel.from_pretrained(plain.folder)
        return {
            **compare(theirs, np.asarray(student.encode(texts))),
            "labelled_sets": _scores(run, student.encode),
            "student_bytes": weights_bytes(plain.folder),
        }

    key = model2vec_evaluation_key(run.keys["quality_report"], plain.key)
    record = baseline_record(run.recipe.name)
    return run.home.store.get_or_make(key, make, recipe_name=record, log=run.log)[0].facts


_WORKS: Mapping[str, Work] = {
    "vocabulary": vocabulary.work,
    "token_embeddings": lambda run: token_embeddings.work(run, EncoderConfig()),
    "student_matrix": student_matrix.work,
    "static_model": static_model.work,
}


def _baseline_student(run: StageRun, dimensions: int) -> Output | None:
    """Return what `model2vec.distill` makes of this recipe's teacher; None when that is this recipe's student itself.

    Made by the other assets' own work and kept in the store like theirs; only what the store lacks is computed.
    """
    plain = baseline_recipe(run.recipe, min(dimensions, run.teacher_source.dimensions))
    keys, store = run.home.stage_keys(plain), run.home.store
    if keys["static_model"].fingerprint == run.keys["static_model"].fingerprint:
        return None
    for stage in BASELINE_STAGES:
        store.record_inputs(baseline_record(run.recipe.name), keys[stage])
    try:
        return store.get(keys["static_model"])
    except StoreError:
        run.log("for the comparison, this teacher is distilled as model2vec does it")

    def make(stage: str, folder: Path) -> Mapping[str, Any]:
        return _WORKS[stage](StageRun(plain, keys[stage], folder, run.home, keys, run.log))

    for stage in BASELINE_STAGES:
        store.get_or_make(keys[stage], partial(make, stage), resumable=stage == "token_embeddings", log=run.log)
    return store.get(keys["static_model"])


def _read(report: Path) -> dict[str, Any] | None:
    return read_report(report.read_bytes()) if report.exists() else None


def _describe(output: Output, released: Mapping[str, Any] | None) -> Mapping[str, Any]:
    report = json.loads((output.folder / REPORT).read_text(encoding="utf-8"))
    examples = [(e["text"], e["teacher"], e["student"]) for e in report["examples"]]
    return {
        **{name: report[name] for name in MEASURES},
        "student_bytes": report["student_bytes"],
        "teacher_bytes": report["teacher_bytes"],
        **output.facts,
        # What is released may change at any time: it is looked at now, and is no part of the stored report.
        "by_kind": dg.MetadataValue.md(markdown_table(*kinds_table(report, comparable_figures(released, report)))),
        **pictures_metadata(output.folder, (KINDS, SIMILARITIES)),
        **_sets(report["labelled_sets"]),
        "nearest_texts": dg.MetadataValue.md(
            markdown_table(["text", "teacher's nearest", "student's nearest"], examples)
        ),
        **_words(report["word_examples"]),
    }


def _words(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"nearest_words": dg.MetadataValue.md(word_table(examples))} if examples else {}


def _sets(sets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not sets:
        return {}
    rows = [(e["set"], e["kind"], f"{e['teacher']:.3f}", f"{e['student']:.3f}") for e in sets]
    return {"labelled_sets": dg.MetadataValue.md(markdown_table(["set", "kind", "teacher", "student"], rows))}

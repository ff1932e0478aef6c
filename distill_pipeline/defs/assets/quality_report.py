"""Asset: what the student lost against its teacher."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg
import numpy as np

from distill_pipeline.chain.pictures import PAIRS
from distill_pipeline.defs.evaluation import WORDS, evaluate_baseline, evaluate_teacher, score_student
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.stage import PicturedConfig, StageResult, StageRun, materialize_stage, stage_asset
from distill_pipeline.fitting.projection import read_projection
from distill_pipeline.quality.agreement import (
    choose_evaluation_texts,
    compare,
    frequent_words,
    nearest_examples,
    nearest_words,
    pair_similarities,
    texts_per_second,
    weights_bytes,
)
from distill_pipeline.quality.measures import MEASURES, comparable_figures, kinds_table
from distill_pipeline.quality.searches import Project, compare_search
from distill_pipeline.release.card import markdown_table, scores_text, text_table, word_table
from distill_pipeline.release.gate import read_report
from distill_pipeline.store.disk import write_json
from distill_pipeline.store.embeddings import Embeddings, unit_rows, write_table
from distill_pipeline.store.environment import machine
from distill_pipeline.store.keys import fingerprint
from distill_pipeline.store.output import Output
from distill_pipeline.student.files import REPORT, model_digest


@stage_asset(pool="teacher")
def quality_report(context: dg.AssetExecutionContext, config: PicturedConfig, distill_home: DistillHome) -> StageResult:
    """What the student lost against its teacher: agreement on texts, scores on labelled sets, size and speed.

    Unless the recipe says otherwise, the student that model2vec.distill makes of this teacher is measured too.
    """
    path = distill_home.releases / context.partition_key / REPORT

    def describe(output: Output) -> Mapping[str, Any]:
        released = read_report(path.read_bytes()) if path.exists() else None
        return _describe(output, distill_home.recipe(context.partition_key).language, released)

    return materialize_stage(context, config, distill_home, _compute, describe=describe, pictures=config.pictures)


def _compute(run: StageRun) -> Mapping[str, Any]:
    from model2vec import StaticModel

    model = run.upstream("static_model")
    student = StaticModel.from_pretrained(model.folder)
    texts, described = choose_evaluation_texts(run.recipe)
    run.log(f"comparing on {len(texts)} {described}")
    words = frequent_words(run.recipe.language)
    teacher = evaluate_teacher(run, texts, words)
    teacher_vectors = Embeddings.of_parts(teacher.folder).all()
    student_vectors = np.asarray(student.encode(texts))
    project = _projection(model)
    word_examples = []
    if words:
        word_vectors = Embeddings([teacher.folder / WORDS]).all()
        word_examples = nearest_words(words, word_vectors, np.asarray(student.encode(words)))
    report = {
        **compare(teacher_vectors, student_vectors),
        "texts": len(texts),
        "texts_sha256": fingerprint({"texts": texts}),
        "texts_are": described,
        "examples": nearest_examples(texts, teacher_vectors, student_vectors),
        "word_examples": word_examples,
        "labelled_sets": score_student(run, student.encode, teacher, project),
        "teacher_documents": project and compare_search(student_vectors, teacher_vectors, teacher_vectors, project),
        "model2vec": evaluate_baseline(run, model.facts["dimensions"], texts, teacher_vectors),
        "model_digest": model_digest(model.folder),
        "student_bytes": weights_bytes(model.folder),
        "teacher_bytes": weights_bytes(run.teacher_source.folder),
    }
    write_json(run.folder / REPORT, report)
    of_teacher, of_student = pair_similarities(teacher_vectors, student_vectors)
    write_table(run.folder / PAIRS, {"teacher": of_teacher, "student": of_student})
    # Speed differs from run to run, so it is not in the report, whose bytes are reproducible.
    return {
        "student_texts_per_second": round(texts_per_second(student.encode, texts)),
        "teacher_texts_per_second": teacher.facts["texts_per_second"],
        "teacher_ran_on": f"{teacher.facts['device']} in {teacher.facts['precision']}, {teacher.manifest['machine']}",
        "student_ran_on": f"cpu, {machine()}",
    }


def _projection(model: Output) -> Project | None:
    """Return what brings the teacher's vectors into the student's space; None where nothing was fitted to texts."""
    if model.facts["space"] == "teacher":
        return unit_rows
    projection = read_projection(model.folder)
    return projection.apply if projection else None


def _describe(output: Output, language: str, released: Mapping[str, Any] | None) -> Mapping[str, Any]:
    report = json.loads((output.folder / REPORT).read_text(encoding="utf-8"))
    tables = {
        # Not part of the stored report: the current release may change at any time.
        "by_kind": markdown_table(*kinds_table(report, comparable_figures(released, report))),
        "labelled_sets": scores_text(language, report),
        "nearest_texts": text_table(report["examples"], "teacher's nearest", "student's nearest"),
    }
    if report["word_examples"]:
        tables["nearest_words"] = word_table(report["word_examples"])
    return {
        **{name: report[name] for name in (*MEASURES, "student_bytes", "teacher_bytes")},
        **output.facts,
        **{name: dg.MetadataValue.md(table) for name, table in tables.items()},
    }

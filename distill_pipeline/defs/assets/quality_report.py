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
from distill_pipeline.defs.encode import teacher_lock
from distill_pipeline.defs.pictures import pictures_metadata, write_pictures
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.stage import Compute, StageConfig, StageResult, StageRun, materialize_stage, stage_asset
from distill_pipeline.figures.captions import KINDS, SIMILARITIES
from distill_pipeline.figures.pictures import draw_quality
from distill_pipeline.fitting.projection import read_projection
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
from distill_pipeline.quality.searches import Project, compare_search, is_search, score_and_keep, score_search
from distill_pipeline.release.card import markdown_table, text_table, word_table
from distill_pipeline.release.gate import read_report
from distill_pipeline.store.disk import write_json
from distill_pipeline.store.embeddings import Embeddings, embedding_array, part_name, unit_rows, write_table
from distill_pipeline.store.environment import machine
from distill_pipeline.store.keys import fingerprint
from distill_pipeline.store.output import Output, StoreError
from distill_pipeline.student.files import REPORT, model_digest

WORDS = "words.parquet"


@stage_asset(pool="teacher")
def quality_report(context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome) -> StageResult:
    """What the student lost against its teacher: agreement on texts, scores on labelled sets, size and speed.

    Unless the recipe says otherwise, the student that model2vec.distill makes of this teacher is measured too.
    """
    path = distill_home.releases / context.partition_key / REPORT

    def describe(output: Output) -> Mapping[str, Any]:
        return _describe(output, read_report(path.read_bytes()) if path.exists() else None)

    return materialize_stage(context, config, distill_home, _compute, describe=describe)


def _compute(run: StageRun) -> Mapping[str, Any]:
    from model2vec import StaticModel

    model = run.upstream("static_model")
    student = StaticModel.from_pretrained(model.folder)
    texts, described = choose_evaluation_texts(run.recipe.evaluation_texts, run.recipe.language)
    run.log(f"comparing on {len(texts)} {described}")
    words = frequent_words(run.recipe.language)
    teacher = _measure_teacher(run, texts, words)
    teacher_vectors = Embeddings.of_parts(teacher.folder).all()
    student_vectors = np.asarray(student.encode(texts))
    scores = zip(_scores(run, student.encode), teacher.facts["scores"], strict=True)
    sets = [{**entry, "teacher": score} for entry, score in scores]
    project = _projection(model)
    if project is not None:
        for number, name in enumerate(run.recipe.labelled_sets):
            if is_search(name):
                found = score_search(name, student.encode, teacher.folder / _search_file(number), project)
                sets[number]["static_query_teacher_documents"] = found
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
        "labelled_sets": sets,
        "teacher_documents": project and compare_search(student_vectors, teacher_vectors, teacher_vectors, project),
        "model2vec": _measure_baseline(run, model.facts["dimensions"], texts, teacher_vectors),
        "model_digest": model_digest(model.folder),
        "student_bytes": weights_bytes(model.folder),
        "teacher_bytes": weights_bytes(run.teacher_source.folder),
    }
    write_json(run.folder / REPORT, report)
    write_pictures(run.folder, draw_quality(report, teacher_vectors, student_vectors))
    # Speed differs from run to run, so it is not in the report, whose bytes are reproducible.
    return {
        "student_texts_per_second": round(texts_per_second(student.encode, texts)),
        "teacher_texts_per_second": teacher.facts["texts_per_second"],
        "teacher_ran_on": _where(teacher),
    }


def _projection(model: Output) -> Project | None:
    """Return what brings the teacher's vectors into the student's space; None where nothing was fitted to texts."""
    if model.facts["space"] == "teacher":
        return unit_rows
    projection = read_projection(model.folder)
    return projection.apply if projection else None


def _search_file(number: int) -> str:
    return f"search-{number:03d}.parquet"


def _where(teacher: Output) -> str:
    """Return what the teacher's speed was measured on, which may not be what the student's was."""
    device, made_on = teacher.facts["device"], teacher.manifest["machine"]
    return str(device) if made_on == machine() else f"{device} of another machine: {made_on}"


def _scores(run: StageRun, encode: Encode) -> list[dict[str, Any]]:
    """Return a student's score on each labelled set of the recipe."""
    return [{**set_identity(name), "student": score_set(name, encode)} for name in run.recipe.labelled_sets]


def _measure_teacher(run: StageRun, texts: Sequence[str], words: Sequence[str]) -> Output:
    """Return the teacher's embeddings of texts and words, and its scores.

    They are the same for every student of this teacher, so they are stored beside the stages' outputs, and a sweep runs
    the teacher once. A forced report measures it anew.
    """

    def make(folder: Path) -> Mapping[str, Any]:
        with teacher_lock(run):
            loaded = run.load_teacher()
            encode = partial(loaded.encode, prompt=run.recipe.prompt)
            for path, some in ((folder / part_name(0), texts), (folder / WORDS, words)):
                if some:
                    write_table(path, {"text": some, "embedding": embedding_array(encode(some))})
            return {
                "scores": [
                    score_and_keep(name, encode, folder / _search_file(number))
                    for number, name in enumerate(run.recipe.labelled_sets)
                ],
                "texts_per_second": round(texts_per_second(encode, texts[:16])),
                "device": loaded.device,
            }

    key = teacher_evaluation_key(run.keys["quality_report"])
    return run.home.store.get_or_make(key, make, force=run.forced, log=run.log)[0]


def _measure_baseline(
    run: StageRun, dimensions: int, texts: Sequence[str], teacher_vectors: npt.NDArray[np.floating]
) -> Mapping[str, Any] | None:
    """Return the measures of model2vec.distill's student of this teacher, with the same number of dimensions.

    None when the recipe doesn't ask for it, or makes exactly that student.
    """
    baseline = _baseline_student(run, dimensions) if run.recipe.compare_with_model2vec else None
    if baseline is None:
        return None

    def make(_: Path) -> Mapping[str, Any]:
        from model2vec import StaticModel

        student = StaticModel.from_pretrained(baseline.folder)
        return {
            **compare(teacher_vectors, np.asarray(student.encode(texts))),
            "labelled_sets": _scores(run, student.encode),
            "student_bytes": weights_bytes(baseline.folder),
        }

    key = model2vec_evaluation_key(run.keys["quality_report"], baseline.key)
    record = baseline_record(run.recipe.name)
    return run.home.store.get_or_make(key, make, force=run.forced, recipe_name=record, log=run.log)[0].facts


_STAGES: Mapping[str, Compute] = {
    "vocabulary": vocabulary.compute,
    "token_embeddings": token_embeddings.compute,
    "student_matrix": student_matrix.compute,
    "static_model": static_model.compute,
}


def _baseline_student(run: StageRun, dimensions: int) -> Output | None:
    """Return what `model2vec.distill` makes of this recipe's teacher; None when that is this recipe's student itself.

    The other assets' functions compute it, and the store keeps it like their outputs.
    """
    recipe = baseline_recipe(run.recipe, min(dimensions, run.teacher_source.dimensions))
    keys, store = run.home.stage_keys(recipe), run.home.store
    if keys["static_model"].fingerprint == run.keys["static_model"].fingerprint:
        return None
    for stage in BASELINE_STAGES:
        store.record_inputs(baseline_record(run.recipe.name), keys[stage])
    try:
        return store.get(keys["static_model"])
    except StoreError:
        run.log("distilling this teacher as model2vec.distill does, for the comparison")

    def make(stage: str, folder: Path) -> Mapping[str, Any]:
        return _STAGES[stage](StageRun(recipe, keys[stage], folder, run.home, keys, run.log))

    for stage in BASELINE_STAGES:
        store.get_or_make(keys[stage], partial(make, stage), resumable=stage == "token_embeddings", log=run.log)
    return store.get(keys["static_model"])


def _mixed(entry: Mapping[str, Any]) -> str:
    found = entry.get("static_query_teacher_documents")
    if found is None:
        return ""
    return f"{found['score']:.3f}, {found['documents_shared']:.0%} of the teacher's 10 first"


def _describe(output: Output, released: Mapping[str, Any] | None) -> Mapping[str, Any]:
    report = json.loads((output.folder / REPORT).read_text(encoding="utf-8"))
    tables = {
        # Not part of the stored report: the current release may change at any time.
        "by_kind": markdown_table(*kinds_table(report, comparable_figures(released, report))),
        "nearest_texts": text_table(report["examples"], "teacher's nearest", "student's nearest"),
    }
    if report["word_examples"]:
        tables["nearest_words"] = word_table(report["word_examples"])
    if sets := report["labelled_sets"]:
        rows = [(e["set"], e["kind"], f"{e['teacher']:.3f}", f"{e['student']:.3f}", _mixed(e)) for e in sets]
        header = ["set", "kind", "teacher", "student", "static queries, teacher's documents"]
        tables["labelled_sets"] = markdown_table(header, rows)
    return {
        **{name: report[name] for name in (*MEASURES, "student_bytes", "teacher_bytes")},
        **output.facts,
        **pictures_metadata(output.folder, (KINDS, SIMILARITIES)),
        **{name: dg.MetadataValue.md(table) for name, table in tables.items()},
    }

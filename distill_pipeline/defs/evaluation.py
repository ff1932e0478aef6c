"""What the quality report measures beside the student: its teacher, and what model2vec makes of that teacher.

Both are stored beside the stages' outputs, once for all students that they are the same for.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.chain.baseline import baseline_key, baseline_record, baseline_rows
from distill_pipeline.chain.stages import model2vec_student_key, teacher_evaluation_key
from distill_pipeline.defs.encode import load_settled, teacher_lock
from distill_pipeline.defs.stage import StageRun
from distill_pipeline.quality.agreement import Encode, compare
from distill_pipeline.quality.labelled import score_sets
from distill_pipeline.quality.searches import Project, is_search, score_and_keep, score_search
from distill_pipeline.store.embeddings import embedding_array, part_name, write_table
from distill_pipeline.store.output import Output
from distill_pipeline.teacher.batches import BatchEncoder
from distill_pipeline.teacher.encoding import sentence_ids
from distill_pipeline.teacher.teacher import Teacher
from distill_pipeline.vocabulary.vocabulary import teacher_entries

WORDS = "words.parquet"


def evaluate_teacher(run: StageRun, texts: Sequence[str], words: Sequence[str]) -> Output:
    """Return the teacher's embeddings of texts and words, and its scores and speed.

    They are the same for every student of this teacher, so a sweep runs the teacher once. A forced report measures it
    anew.
    """

    def make(folder: Path) -> Mapping[str, Any]:
        with teacher_lock(run):
            # As it is used, whatever the recipe's pooling.
            loaded, setup = load_settled(run, "auto", _ids(run, texts))
            encode = _encode_with(run, loaded)
            started = time.monotonic()
            rows = encode(texts)
            seconds = time.monotonic() - started
            write_table(folder / part_name(0), {"text": texts, "embedding": embedding_array(rows)})
            if words:
                write_table(folder / WORDS, {"text": words, "embedding": embedding_array(encode(words))})
            return {
                "scores": [
                    entry
                    for number, name in enumerate(run.recipe.resolved("labelled_sets"))
                    for entry in score_and_keep(name, encode, folder / _search_file(number))
                ],
                "texts_per_second": round(len(texts) / seconds),
                "device": setup.device,
                "precision": setup.precision,
            }

    key = teacher_evaluation_key(run.keys["quality_report"])
    return run.home.store.get_or_make(key, make, force=run.forced, log=run.log)[0]


def _ids(run: StageRun, texts: Sequence[str]) -> Sequence[list[int]]:
    return sentence_ids(run.teacher_source.folder, texts, prompt=run.recipe.prompt, whole=True)


def _encode_with(run: StageRun, teacher: Teacher) -> Encode:
    def encode(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        with BatchEncoder(teacher) as encoder:
            return encoder.start(_ids(run, texts)).rows(lambda _: None)

    return encode


def evaluate_baseline(
    run: StageRun, dimensions: int, texts: Sequence[str], teacher_vectors: npt.NDArray[np.floating]
) -> Mapping[str, Any] | None:
    """Return the measures of model2vec.distill's student of this teacher, with the same number of dimensions.

    None when the recipe doesn't ask for it, or makes exactly that student.
    """
    dimensions = min(dimensions, run.teacher_source.dimensions)
    key = baseline_key(run.recipe, run.teacher_source.identity, dimensions)
    if key is None:
        return None

    def make(_: Path) -> Mapping[str, Any]:
        from model2vec import StaticModel

        student = StaticModel.from_pretrained(_model2vec_student(run), dimensionality=dimensions)
        return {
            **compare(teacher_vectors, np.asarray(student.encode(texts))),
            "labelled_sets": _of_student(score_sets(run.recipe.resolved("labelled_sets"), student.encode)),
            "student_bytes": student.embedding.nbytes,
        }

    record = baseline_record(run.recipe.name)
    return run.home.store.get_or_make(key, make, force=run.forced, recipe_name=record, log=run.log)[0].facts


def _model2vec_student(run: StageRun) -> Path:
    """Return the folder of model2vec's student in all dimensions, from which one with fewer is read."""

    def make(folder: Path) -> Mapping[str, Any]:
        from model2vec.persistence import save_pretrained

        run.log("making what model2vec.distill makes of this teacher, for the comparison")
        entries = teacher_entries(run.teacher_source.folder)
        rows = baseline_rows(
            entries,
            run.upstream("vocabulary").folder,
            run.upstream("token_embeddings").folder,
            lambda sequences: _pool_by_mean(run, sequences),
        )
        save_pretrained(folder, rows, entries.tokenizer, {"normalize": True}, create_model_card=False)
        return {}

    record, key = baseline_record(run.recipe.name), model2vec_student_key(run.keys["token_embeddings"])
    return run.home.store.get_or_make(key, make, force=run.forced, recipe_name=record, log=run.log)[0].folder


def _pool_by_mean(run: StageRun, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
    with teacher_lock(run):
        loaded, _ = load_settled(run, "mean", sequences)
        with BatchEncoder(loaded) as encoder:
            return encoder.start(sequences).rows(lambda _: None)


def score_student(run: StageRun, encode: Encode, teacher: Output, project: Project | None) -> list[dict[str, Any]]:
    """Return the student's and the teacher's score on each labelled set of the recipe, with their standard errors.

    If the teacher's vectors can be brought into the student's space, searches are scored with the student's queries and
    the teacher's documents too.
    """
    ours: list[dict[str, Any]] = []
    for number, name in enumerate(run.recipe.resolved("labelled_sets")):
        entries = _of_student(score_sets([name], encode))
        if project and is_search(name):
            found = score_search(name, encode, teacher.folder / _search_file(number), project)
            entries[0]["static_query_teacher_documents"] = found
        ours += entries
    return [
        {**entry, "teacher": theirs["score"], "teacher_error": theirs["error"]}
        for entry, theirs in zip(ours, teacher.facts["scores"], strict=True)
    ]


def _search_file(number: int) -> str:
    return f"search-{number:03d}.parquet"


def _of_student(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = {"score": "student", "error": "student_error"}
    return [{names.get(name, name): value for name, value in entry.items()} for entry in scores]

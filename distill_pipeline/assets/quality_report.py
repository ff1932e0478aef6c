"""Asset: what the student lost against its teacher."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from distill_pipeline.assets.stage import (
    OWNERS,
    StageConfig,
    StageRun,
    code_version,
    materialize_stage,
    upstream_of,
)
from distill_pipeline.distillation.labelled import score
from distill_pipeline.distillation.parts import Embeddings, embedding_array, part_name, write_table
from distill_pipeline.distillation.quality import (
    compare,
    evaluation_texts,
    folder_bytes,
    nearest_examples,
    texts_per_second,
)
from distill_pipeline.partitions import RECIPES
from distill_pipeline.release.card import markdown_table
from distill_pipeline.release.files import REPORT, model_digest
from distill_pipeline.resources import DistillHome
from distill_pipeline.stages import teacher_side_key
from distill_pipeline.store import Output, write_json

FIGURES = ("similarity_correlation", "neighbour_overlap", "nearest_retrieved")


@dg.asset(
    partitions_def=RECIPES,
    deps=upstream_of("quality_report"),
    group_name="distillation",
    kinds={"python", "json"},
    owners=OWNERS,
    pool="teacher",
    code_version=code_version("quality_report"),
    description="Teacher and student side by side on the same texts: agreement, size and speed.",
)
def quality_report(
    context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome
) -> dg.MaterializeResult[Any]:
    """Compare the student with its teacher."""
    return materialize_stage(context, config, distill_home, _work, describe=_describe)


def _work(run: StageRun) -> Mapping[str, Any]:
    from model2vec import StaticModel

    model = run.upstream("static_model")
    student = StaticModel.from_pretrained(model.folder)
    texts = evaluation_texts(run.recipe.evaluation_texts)
    teacher = _teacher_side(run, texts)
    theirs, ours = Embeddings.of_parts(teacher.folder).all(), np.asarray(student.encode(texts))
    report = {
        **compare(theirs, ours),
        "texts": len(texts),
        "examples": nearest_examples(texts, theirs, ours),
        "labelled_sets": [
            {
                "set": name.rsplit("/", 1)[-1],
                "kind": name.partition(":")[0],
                "teacher": teachers,
                "student": score(name, student.encode),
            }
            for name, teachers in zip(run.recipe.labelled_sets, teacher.facts["scores"], strict=True)
        ],
        "model_digest": model_digest(model.folder),
        "student_bytes": folder_bytes(model.folder),
        "teacher_bytes": folder_bytes(run.teacher_source.folder),
    }
    write_json(run.folder / REPORT, report)
    # Speed differs from run to run, so it is kept out of the report, whose bytes are reproducible.
    return {
        "student_texts_per_second": round(texts_per_second(student.encode, texts)),
        "teacher_texts_per_second": teacher.facts["texts_per_second"],
    }


def _teacher_side(run: StageRun, texts: Sequence[str]) -> Output:
    """Return the teacher's embeddings of the texts and its scores: the same for every student of this teacher.

    They lie in the store beside the stages' outputs, so that a sweep runs the teacher once.
    """

    def make(folder: Path) -> Mapping[str, Any]:
        encode = partial(run.load_teacher().encode, prompt=run.recipe.prompt)
        write_table(folder / part_name(0), {"text": texts, "embedding": embedding_array(encode(texts))})
        return {
            "scores": [score(name, encode) for name in run.recipe.labelled_sets],
            "texts_per_second": round(texts_per_second(encode, texts[:16])),
        }

    key = teacher_side_key(run.keys["quality_report"])
    return run.home.home.store.get_or_make(key, make, log=run.log)[0]


def _describe(output: Output) -> Mapping[str, Any]:
    report = json.loads((output.folder / REPORT).read_text(encoding="utf-8"))
    examples = [(e["text"], e["teacher"], e["student"]) for e in report["examples"]]
    return {
        **{name: report[name] for name in FIGURES},
        "student_bytes": report["student_bytes"],
        "teacher_bytes": report["teacher_bytes"],
        **output.facts,
        **_scores(report["labelled_sets"]),
        "nearest_texts": dg.MetadataValue.md(
            markdown_table(["text", "teacher's nearest", "student's nearest"], examples)
        ),
    }


def _scores(sets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not sets:
        return {}
    rows = [(e["set"], e["kind"], f"{e['teacher']:.3f}", f"{e['student']:.3f}") for e in sets]
    return {"labelled_sets": dg.MetadataValue.md(markdown_table(["set", "kind", "teacher", "student"], rows))}

"""Asset: the teacher's embeddings of texts, generated or from a corpus, to which a refinement fits the rows."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import dagster as dg

from distill_pipeline.defs.encode import encode_with_teacher, encoding_metadata
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.stage import (
    StageConfig,
    StageResult,
    StageRun,
    materialize_stage,
    stage_asset,
    table_metadata,
)
from distill_pipeline.store.output import Output
from distill_pipeline.teacher.encoding import sentence_ids
from distill_pipeline.texts.refinements import refinement_texts


@stage_asset(pool="teacher")
def text_embeddings(context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome) -> StageResult:
    """The teacher's embeddings of texts, generated or from a corpus, to which the student's rows are fitted.

    Empty for a recipe without a refinement. A killed run resumes where it stopped.
    """
    return materialize_stage(context, config, distill_home, _compute, describe=_describe, resumable=True)


def _compute(run: StageRun) -> Mapping[str, Any]:
    if run.recipe.refinement == "none":
        run.log("this recipe has no refinement, so no texts are encoded")
        return {"rows": 0}
    groups = refinement_texts(run.recipe, run.folder)
    texts = chain.from_iterable(groups)
    sequences = sentence_ids(run.teacher_source.folder, texts, prompt=run.recipe.prompt, folder=run.folder)
    facts = encode_with_teacher(run, sequences, groups)
    # The fit centres each kind of texts on its own mean, which says nothing about their words.
    return {**facts, "groups": list(map(len, groups))}


def _describe(output: Output) -> Mapping[str, Any]:
    if not output.facts["rows"]:
        return {"dagster/row_count": 0}
    return {
        **table_metadata(output.folder / "part-000000.parquet"),
        **encoding_metadata(output),
        "texts_of_each_kind": dg.MetadataValue.json(output.facts["groups"]),
    }

"""Asset: the teacher's embedding of each vocabulary entry; a killed run resumes where it stopped."""

from collections.abc import Mapping
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
from distill_pipeline.vocabulary.vocabulary import read_vocabulary


@stage_asset(pool="teacher")
def token_embeddings(context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome) -> StageResult:
    """The teacher's embedding of each vocabulary entry: one float32 vector per row, in Parquet parts.

    A killed run resumes where it stopped.
    """
    return materialize_stage(context, config, distill_home, compute, describe=_describe, resumable=True)


def compute(run: StageRun) -> Mapping[str, Any]:
    """Encode the vocabulary's entries."""
    sequences = read_vocabulary(run.upstream("vocabulary").folder).teacher_ids
    return encode_with_teacher(run, sequences)


def _describe(output: Output) -> Mapping[str, Any]:
    return {**table_metadata(output.folder / "part-000000.parquet"), **encoding_metadata(output)}

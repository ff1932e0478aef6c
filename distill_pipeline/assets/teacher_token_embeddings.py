"""Asset: the teacher's vector for each vocabulary entry. The chain's costly stage; it resumes after a kill."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from distill_pipeline.assets.stage import (
    OWNERS,
    StageConfig,
    StageRun,
    code_version,
    materialize_stage,
    table_metadata,
    upstream_of,
)
from distill_pipeline.distillation.encoding import encode_to_parts, probe_sample, settle_precision
from distill_pipeline.distillation.parts import Embeddings
from distill_pipeline.distillation.vocabulary import read_vocabulary
from distill_pipeline.partitions import RECIPES
from distill_pipeline.resources import DistillHome
from distill_pipeline.store import Output


@dg.asset(
    partitions_def=RECIPES,
    deps=upstream_of("teacher_token_embeddings"),
    group_name="distillation",
    kinds={"pytorch", "parquet"},
    owners=OWNERS,
    pool="teacher",
    code_version=code_version("teacher_token_embeddings"),
    description="One float32 vector per vocabulary entry, as the teacher gives it, in Parquet parts.",
)
def teacher_token_embeddings(
    context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome
) -> dg.MaterializeResult[Any]:
    """Encode what each vocabulary entry reads like."""
    return materialize_stage(context, config, distill_home, _work, describe=_describe, resumable=True)


def _work(run: StageRun) -> Mapping[str, Any]:
    sequences = read_vocabulary(run.upstream("tokenizer_vocabulary").folder).teacher_ids
    teacher = run.load_teacher()
    precision = settle_precision(teacher, run.recipe.precision, run.recipe.precision_floor, probe_sample(sequences))
    run.log(f"encoding {len(sequences):,} rows in {precision.used}: {precision.reason}")
    if precision.used != teacher.precision:
        teacher = run.load_teacher()
    kept = encode_to_parts(sequences, teacher, run.folder, report=run.reporter())
    embeddings = Embeddings.of_parts(run.folder)
    return {
        "rows": embeddings.rows,
        "dimensions": embeddings.dimensions,
        "rows_resumed": kept,
        "precision": precision.used,
        "precision_reason": precision.reason,
        "least_cosine_to_float32": precision.least_cosine,
        "device": str(teacher.backbone.device),
    }


def _describe(output: Output) -> Mapping[str, Any]:
    facts = output.facts
    return {
        **table_metadata(output.folder / "part-000000.parquet"),
        **{name: facts[name] for name in ("dimensions", "precision", "precision_reason", "device", "rows_resumed")},
        "least_cosine_to_float32": facts["least_cosine_to_float32"] or "not measured in float32",
        "dagster/row_count": facts["rows"],
    }

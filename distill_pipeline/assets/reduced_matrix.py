"""Asset: the student's rows, fewer dimensions than the teacher's, each with its weight."""

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
from distill_pipeline.distillation.parts import Embeddings
from distill_pipeline.distillation.reduction import reduce_rows
from distill_pipeline.partitions import RECIPES
from distill_pipeline.resources import DistillHome
from distill_pipeline.store import Output


@dg.asset(
    partitions_def=RECIPES,
    deps=upstream_of("reduced_matrix"),
    group_name="distillation",
    kinds={"numpy", "parquet"},
    owners=OWNERS,
    code_version=code_version("reduced_matrix"),
    description="The teacher's rows on their principal directions, each times its frequency weight.",
)
def reduced_matrix(
    context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome
) -> dg.MaterializeResult[Any]:
    """Reduce and weight the rows."""
    return materialize_stage(context, config, distill_home, _work, describe=_describe)


def _work(run: StageRun) -> Mapping[str, Any]:
    return reduce_rows(
        Embeddings.of_parts(run.upstream("teacher_token_embeddings").folder),
        run.folder,
        pca_dims=run.recipe.pca_dims,
        weighting=run.recipe.weighting,
        sif_coefficient=run.recipe.sif_coefficient,
        clusters=run.recipe.vocabulary_quantization,
    )


def _describe(output: Output) -> Mapping[str, Any]:
    facts = output.facts
    return {
        **table_metadata(output.folder / "matrix.parquet"),
        "dimensions": facts["dimensions"],
        "teacher_dimensions": facts["teacher_dimensions"],
        "explained_variance": facts.get("explained_variance", 1.0),
    }

"""Asset: the student's vocabulary and tokenizer, and what the teacher reads for each entry."""

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
)
from distill_pipeline.distillation.vocabulary import build_vocabulary, read_words, write_vocabulary
from distill_pipeline.partitions import RECIPES
from distill_pipeline.resources import DistillHome


@dg.asset(
    partitions_def=RECIPES,
    group_name="distillation",
    kinds={"python", "parquet"},
    owners=OWNERS,
    code_version=code_version("tokenizer_vocabulary"),
    description="The student's vocabulary, one row per entry, with the token ids that the teacher reads for it.",
)
def tokenizer_vocabulary(
    context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome
) -> dg.MaterializeResult[Any]:
    """Take the teacher's tokens and the recipe's words."""
    return materialize_stage(
        context,
        config,
        distill_home,
        _work,
        describe=lambda output: table_metadata(output.folder / "vocabulary.parquet"),
    )


def _work(run: StageRun) -> Mapping[str, Any]:
    vocabulary = build_vocabulary(
        run.teacher_source.folder,
        words=read_words(run.recipe.vocabulary),
        remove_pattern=run.recipe.token_remove_pattern,
        words_as_text=run.recipe.words_as == "text",
        prompt=run.recipe.prompt,
    )
    write_vocabulary(run.folder, vocabulary)
    return {"rows": len(vocabulary.tokens)}

"""Asset: the student as a Model2Vec folder with its golden vectors."""

import shutil
from collections.abc import Mapping
from typing import Any

import dagster as dg

from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.stage import PicturedConfig, StageResult, StageRun, materialize_stage, stage_asset
from distill_pipeline.fitting.projection import PROJECTION
from distill_pipeline.fitting.reduction import read_matrix
from distill_pipeline.fitting.weightings import SIF_COEFFICIENTS
from distill_pipeline.quality.agreement import evaluation_texts
from distill_pipeline.store.output import Output
from distill_pipeline.student.folder import verify_golden, write_student
from distill_pipeline.vocabulary.vocabulary import read_vocabulary

GOLDEN_TEXTS = 24


@stage_asset()
def static_model(context: dg.AssetExecutionContext, config: PicturedConfig, distill_home: DistillHome) -> StageResult:
    """The student: a folder that model2vec and sentence_transformers load.

    It holds golden vectors too: texts with the vectors that every runtime must give for them.
    """
    return materialize_stage(context, config, distill_home, compute, describe=_describe, pictures=config.pictures)


def compute(run: StageRun) -> Mapping[str, Any]:
    """Write the student's folder with its golden vectors."""
    recipe = run.recipe
    matrix = run.upstream("student_matrix").folder
    vocabulary, rows = read_vocabulary(run.upstream("vocabulary").folder), read_matrix(matrix)
    facts = write_student(
        run.folder,
        vocabulary.tokenizer,
        rows,
        dtype=recipe.dtype,
        config={
            "tokenizer_name": recipe.teacher_label,
            "apply_pca": recipe.pca_dims,
            "sif_coefficient": SIF_COEFFICIENTS.get(recipe.resolved("weighting")),
            "pooling": recipe.pooling,
        },
        texts=evaluation_texts()[:GOLDEN_TEXTS],
    )
    if (matrix / PROJECTION).is_file():
        shutil.copy(matrix / PROJECTION, run.folder)
    return {
        **facts,
        "space": recipe.space,
        "accents": vocabulary.accents,
        "golden_difference": verify_golden(run.folder),
    }


def _describe(output: Output) -> Mapping[str, Any]:
    return {**output.facts, "dagster/row_count": output.facts["rows"]}

"""Asset: the student's rows, reduced, weighted and fitted."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import dagster as dg

from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.stage import (
    PicturedConfig,
    StageResult,
    StageRun,
    materialize_stage,
    stage_asset,
    table_metadata,
)
from distill_pipeline.fitting.reduction import MATRIX, reduce_rows
from distill_pipeline.fitting.settings import fit_settings
from distill_pipeline.fitting.weightings import row_weights
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.store.output import Output
from distill_pipeline.teacher.backends import chosen_encoder
from distill_pipeline.vocabulary.vocabulary import read_vocabulary
from distill_pipeline.vocabulary.words import entry_groups

if TYPE_CHECKING:
    from distill_pipeline.fitting.parallel import Spread


@stage_asset()
def student_matrix(context: dg.AssetExecutionContext, config: PicturedConfig, distill_home: DistillHome) -> StageResult:
    """The student's rows, one per vocabulary entry.

    They are reduced to fewer dimensions, weighted by frequency and, with a refinement, fitted so that their means come
    close to the teacher's embeddings of texts.
    """
    return materialize_stage(context, config, distill_home, compute, describe=_describe, pictures=config.pictures)


def compute(run: StageRun) -> Mapping[str, Any]:
    """Reduce, weight and refine the rows."""
    recipe = run.recipe
    vocabulary = read_vocabulary(run.upstream("vocabulary").folder)
    entries = Embeddings.of_parts(run.upstream("token_embeddings").folder)
    if recipe.refinement == "none":
        groups = entry_groups(vocabulary.tokenizer)
        weights = row_weights(recipe.resolved("weighting"), vocabulary.frequencies, groups)
        return reduce_rows(entries, run.folder, weights=weights, pca_dims=recipe.pca_dims)
    # scipy takes longer to import than a hit takes.
    from distill_pipeline.fitting.problem import TextEmbeddings
    from distill_pipeline.fitting.refining import refine_rows

    output = run.upstream("text_embeddings")
    sentences = TextEmbeddings(Embeddings.of_parts(output.folder), output.facts["groups"])
    with _spread() as spread:
        return refine_rows(vocabulary, entries, sentences, run.folder, fit_settings(recipe), spread=spread)


def _spread() -> AbstractContextManager["Spread[Any, Any]"]:
    """Return where the fit's blocks are solved: where the teacher runs, which changes no byte."""
    if chosen_encoder() == "ray":
        from distill_pipeline.fitting.cluster import on_ray

        return on_ray()
    from distill_pipeline.fitting.parallel import on_cores

    return nullcontext(on_cores)


def _describe(output: Output) -> Mapping[str, Any]:
    facts = output.facts
    return {
        **table_metadata(output.folder / MATRIX),
        **{name: facts[name] for name in ("dimensions", "teacher_dimensions")},
        "explained_variance": facts.get("explained_variance", 1.0),
        **{name: dg.MetadataValue.json(facts[name]) for name in ("refinement", "documents_found") if name in facts},
    }

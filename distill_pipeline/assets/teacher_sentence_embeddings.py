"""Asset: the teacher's embeddings of texts, generated or from a corpus, that a refinement fits the rows to."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from distill_pipeline.assets.stage import (
    OWNERS,
    StageConfig,
    StageRun,
    code_version,
    encode_with_teacher,
    encoding_metadata,
    materialize_stage,
    table_metadata,
)
from distill_pipeline.distillation.corpus import sample_passages
from distill_pipeline.distillation.encoding import sentence_ids
from distill_pipeline.distillation.frequencies import word_list
from distill_pipeline.distillation.generator import Generator, generate_sentences, generate_texts
from distill_pipeline.partitions import RECIPES
from distill_pipeline.recipe import Recipe
from distill_pipeline.resources import DistillHome
from distill_pipeline.store import Output


@dg.asset(
    partitions_def=RECIPES,
    group_name="distillation",
    kinds={"pytorch", "parquet"},
    owners=OWNERS,
    pool="teacher",
    code_version=code_version("teacher_sentence_embeddings"),
    description="Texts and the teacher's unit embedding of each; empty for a recipe without a refinement.",
)
def teacher_sentence_embeddings(
    context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome
) -> dg.MaterializeResult[Any]:
    """Encode the texts that the refinement fits to."""
    return materialize_stage(context, config, distill_home, _work, describe=_describe, resumable=True)


def _work(run: StageRun) -> Mapping[str, Any]:
    if run.recipe.refinement == "none":
        run.log("this recipe has no refinement, so no texts are encoded")
        return {"rows": 0}
    texts = _texts(run.recipe)
    sequences = sentence_ids(run.teacher_source.folder, texts, prompt=run.recipe.prompt)
    return encode_with_teacher(run, sequences, texts=texts)


def _texts(recipe: Recipe) -> list[str]:
    if recipe.refinement == "corpus":
        return sample_passages(recipe.corpus, recipe.refinement_texts, seed=recipe.seed)
    words, count = word_list(recipe.language), recipe.refinement_texts
    sentences = count // 3 if recipe.language == "en" else 0  # the phrases between content words are English
    style = Generator(covered=recipe.vocabulary_words)
    return [
        *generate_texts(words, count - sentences, seed=recipe.seed, style=style),
        *generate_sentences(words, sentences, seed=recipe.seed, covered=recipe.vocabulary_words),
    ]


def _describe(output: Output) -> Mapping[str, Any]:
    if not output.facts["rows"]:
        return {"dagster/row_count": 0}
    return {**table_metadata(output.folder / "part-000000.parquet"), **encoding_metadata(output)}

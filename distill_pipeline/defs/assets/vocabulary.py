"""Asset: the student's vocabulary and tokenizer."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

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
from distill_pipeline.texts.corpus import recipe_passages
from distill_pipeline.texts.files import read_words
from distill_pipeline.vocabulary.vocabulary import VOCABULARY, build_vocabulary, build_word_vocabulary, write_vocabulary


@stage_asset()
def vocabulary(context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome) -> StageResult:
    """The student's vocabulary and tokenizer.

    One row per entry, with its frequency and the token ids that the teacher reads for it.
    """
    return materialize_stage(context, config, distill_home, compute, describe=_describe)


def compute(run: StageRun) -> Mapping[str, Any]:
    """Build and write the vocabulary."""
    recipe = run.recipe
    has_phrases = recipe.refinement == "corpus" and recipe.vocabulary == "words" and recipe.phrases
    counts_words = recipe.words_from == "corpus"
    passages = recipe_passages(recipe, run.folder) if has_phrases or counts_words else []
    teacher = run.teacher_source.folder
    common: dict[str, Any] = {
        "words": read_words(recipe.words),
        "prompt": recipe.prompt,
        "language": recipe.language,
        "passages": passages,
    }
    if recipe.vocabulary == "words":
        vocabulary = build_word_vocabulary(
            teacher,
            count=recipe.vocabulary_words,
            max_entries=recipe.max_entries,
            lowercase=recipe.lowercase,
            phrases=recipe.phrases if has_phrases else 0,
            words_from_passages=counts_words,
            folder=run.folder,
            **common,
        )
    else:
        vocabulary = build_vocabulary(teacher, **common)
    run.log(f"{len(vocabulary.tokens):,} entries, frequencies from {vocabulary.frequency_source}")
    for note in filter(None, (vocabulary.accents, *vocabulary.notes)):
        run.log(note)
    write_vocabulary(run.folder, vocabulary)
    return {
        "rows": len(vocabulary.tokens),
        "frequencies": vocabulary.frequency_source,
        "accents": vocabulary.accents,
        "notes": list(vocabulary.notes),
    }


def _describe(output: Output) -> Mapping[str, Any]:
    table = table_metadata(output.folder / VOCABULARY)
    return {**table, **{fact: output.facts[fact] for fact in ("frequencies", "accents", "notes")}}

"""Passages of a corpus, and generated texts besides: no corpus holds all rare words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill_pipeline.distillation.refinements import FEWEST_TEXTS, Refinement
from distill_pipeline.distillation.refinements.generated import (
    CORPUS_FIELDS,
    check_language,
    generated_reads,
    generated_texts,
)

if TYPE_CHECKING:
    from distill_pipeline.recipe import Recipe


def _texts(recipe: Recipe) -> list[list[str]]:
    from distill_pipeline.distillation.corpus import recipe_passages
    from distill_pipeline.recipe import RecipeError

    passages = recipe_passages(recipe)
    groups = [passages, *generated_texts(recipe, passages)]
    if sum(map(len, groups)) < FEWEST_TEXTS:
        raise RecipeError(
            f"{', '.join(recipe.corpus)}: {len(passages)} passages and generated_texts="
            f"{recipe.resolved('generated_texts')}; a refinement needs at least {FEWEST_TEXTS} texts"
        )
    return groups


def _reads(recipe: Recipe) -> tuple[str, ...]:
    return (*CORPUS_FIELDS, *generated_reads(recipe))


def _check(recipe: Recipe) -> None:
    if not recipe.corpus:
        raise ValueError("refinement=corpus needs texts: name files or a data set in corpus")
    check_language(recipe)


# Held-out passages are like those that are fitted, so they ask for a penalty too small for texts of other kinds; and
# 200,000 of them would drown the generated texts, in which all frequent words and the forms of questions are. Steps on
# similarities bring the passages' own closer, and those of other texts farther from the teacher's. Four times as many
# generated texts as without a corpus bring those of other texts closer, for half as much again of the teacher's time.
REFINEMENT = Refinement(
    "passages of a corpus, and generated ones besides",
    _texts,
    _reads,
    _check,
    balanced=True,
    generated_texts=180_000,
    refinement_penalty=0.4,
    similarity_steps=0,
)

"""Texts made of nothing but the frequencies of words and of English word pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from distill_pipeline.distillation.refinements import FEWEST_TEXTS, Refinement

if TYPE_CHECKING:
    from distill_pipeline.recipe import Recipe


CORPUS_FIELDS = ("corpus", "corpus_texts", "corpus_rows", "seed")
"""What decides the passages that are sampled from a recipe's corpus."""

MOST_COVERED = 60_000
"""Words that are put into the texts on purpose; more would leave too little room for words drawn by frequency. The
vocabulary's further words stay near the refinement's start."""


def generated_texts(recipe: Recipe, passages: Sequence[str] | None = None) -> list[list[str]]:
    """Return word bags and, for English, as many chains of words and sentence-like texts; none when none are wanted.

    Args:
        recipe: The recipe.
        passages: Those of its corpus, if they are at hand.
    """
    count = recipe.resolved("generated_texts")
    if not count:
        return []
    from distill_pipeline.distillation.chains import generate_chains
    from distill_pipeline.distillation.corpus import recipe_passages
    from distill_pipeline.distillation.frequencies import count_words, word_list
    from distill_pipeline.distillation.generator import Generator, generate_sentences, generate_texts
    from distill_pipeline.recipe import RecipeError

    if recipe.words_from == "corpus":
        words = count_words(recipe_passages(recipe) if passages is None else passages)
    else:
        words = word_list(recipe.language)
    if not words.words:
        raise RecipeError(f"words_from=corpus: {', '.join(recipe.corpus)} holds no word; texts can't be made of it")
    # The pairs, and the phrases between content words, are English.
    third = count // 3 if recipe.language == "en" else 0
    covered = min(recipe.vocabulary_words, MOST_COVERED)
    style = Generator(covered=covered)
    bags = generate_texts(words, count - 2 * third, seed=recipe.seed, style=style)
    if not third:
        return [bags]
    return [
        bags,
        generate_chains(words, third, seed=recipe.seed, covered=covered),
        generate_sentences(words, third, seed=recipe.seed, covered=covered),
    ]


def generated_reads(recipe: Recipe) -> tuple[str, ...]:
    """Return the fields that `generated_texts` reads."""
    if not recipe.resolved("generated_texts"):
        return ()
    fields = ("generated_texts", "language", "vocabulary_words", "seed")
    return (*fields, "words_from", *CORPUS_FIELDS) if recipe.words_from == "corpus" else fields


def check_language(recipe: Recipe) -> None:
    """Raise `ValueError` when texts are wanted in a language of which no word frequencies are known."""
    if recipe.resolved("generated_texts") and recipe.language != "en" and recipe.words_from == "wordfreq":
        from distill_pipeline.distillation.frequencies import listed_language

        if listed_language(recipe.language) is None:
            raise ValueError(
                f"language={recipe.language}: wordfreq knows no words of it, so no texts can be generated; use "
                "words_from=corpus, refinement=corpus with generated_texts=0, or refinement=none"
            )


def _check(recipe: Recipe) -> None:
    count = recipe.resolved("generated_texts")
    if count < FEWEST_TEXTS:
        raise ValueError(f"generated_texts={count}: a refinement needs at least {FEWEST_TEXTS} texts")
    check_language(recipe)


REFINEMENT = Refinement("generated from frequencies of words and word pairs", generated_texts, generated_reads, _check)

"""The texts that a recipe's rows are fitted to: a table of functions, by the refinement's name in recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from distill_pipeline.errors import RecipeError
from distill_pipeline.recipe.choices import MIN_REFINEMENT_TEXTS
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.texts.corpus import recipe_passages

CORPUS_FIELDS = ("corpus", "corpus_texts", "seed")
"""What decides the passages that are sampled from a recipe's corpus."""

_MAX_COVERED = 60_000
"""Words that are put into the texts on purpose; more would leave too little room for words drawn by frequency. The
vocabulary's further words stay near the refinement's start."""

TextGroups = list[list[str]]
"""Texts in groups of one kind."""


def generated_texts(recipe: Recipe, passages: Sequence[str] | None = None) -> TextGroups:
    """Return word bags and, for English, as many chains of words and sentence-like texts; none when none are wanted.

    Args:
        recipe: The recipe.
        passages: Those of its corpus, if they are at hand.

    Raises:
        RecipeError: Words are to come from the corpus, and it holds none.
    """
    count = recipe.resolved("generated_texts")
    if not count:
        return []
    from distill_pipeline.texts.chains import generate_chains
    from distill_pipeline.texts.generator import Generator, generate_sentences, generate_texts
    from distill_pipeline.vocabulary.frequencies import count_words, word_list

    if recipe.words_from == "corpus":
        words = count_words(recipe_passages(recipe) if passages is None else passages)
    else:
        words = word_list(recipe.language)
    if not words.words:
        raise RecipeError(f"words_from=corpus: {', '.join(recipe.corpus)} holds no word; texts can't be made of it")
    # The pairs, and the phrases between content words, are English.
    third = count // 3 if recipe.language == "en" else 0
    covered = min(recipe.vocabulary_words, _MAX_COVERED)
    bags = generate_texts(words, count - 2 * third, seed=recipe.seed, style=Generator(covered=covered))
    if not third:
        return [bags]
    return [
        bags,
        generate_chains(words, third, seed=recipe.seed, covered=covered),
        generate_sentences(words, third, seed=recipe.seed, covered=covered),
    ]


def _passages_and_generated_texts(recipe: Recipe) -> TextGroups:
    """Return passages of the corpus, and generated texts besides: no corpus holds all rare words."""
    passages = recipe_passages(recipe)
    groups = [passages, *generated_texts(recipe, passages)]
    if sum(map(len, groups)) < MIN_REFINEMENT_TEXTS:
        raise RecipeError(
            f"{', '.join(recipe.corpus)}: {len(passages)} passages and generated_texts="
            f"{recipe.resolved('generated_texts')}; a refinement needs at least {MIN_REFINEMENT_TEXTS} texts"
        )
    return groups


_TEXTS: Mapping[str, Callable[[Recipe], TextGroups]] = {
    "corpus": _passages_and_generated_texts,
    "generated": generated_texts,
}


def refinement_texts(recipe: Recipe) -> TextGroups:
    """Return the texts of a recipe that refines, in groups of one kind, none of them empty.

    Raises:
        RecipeError: There are too few texts.
        CorpusError: The corpus can't be read.
    """
    return [group for group in _TEXTS[recipe.refinement](recipe) if group]


def text_fields(recipe: Recipe) -> tuple[str, ...]:
    """Return the fields of the recipe that `refinement_texts` reads; they become part of the stage's fingerprint."""
    fields: tuple[str, ...] = CORPUS_FIELDS if recipe.refinement == "corpus" else ()
    if recipe.resolved("generated_texts"):
        fields += ("generated_texts", "language", "vocabulary_words", "seed")
        if recipe.words_from == "corpus":
            fields += ("words_from", *CORPUS_FIELDS)
    return fields

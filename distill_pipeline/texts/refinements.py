"""The texts that a recipe's rows are fitted to: a table of functions, by the refinement's name in recipes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from distill_pipeline.errors import RecipeError
from distill_pipeline.recipe.choices import MIN_REFINEMENT_TEXTS
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.texts.corpus import recipe_passages
from distill_pipeline.texts.dictionary import check_dictionary

CORPUS_FIELDS = ("corpus", "corpus_texts", "seed")
"""Fields that decide which passages are sampled from a recipe's corpus."""

_MAX_COVERED = 60_000
"""Words that are put into the texts on purpose; more would leave too little room for words drawn by frequency."""

TextGroups = Sequence[Sequence[str]]
"""Texts in groups of one kind."""


def generated_texts(recipe: Recipe, folder: Path | None = None, passages: Sequence[str] | None = None) -> TextGroups:
    """Return bags of words and, for English, as many chains of words and sentence-like texts; none if none are wanted,
    or the passages, to which they would be added, hold no words.

    `passages` are those of the recipe's corpus, if already read.

    Raises:
        RecipeError: Words are to come from the corpus, and it holds none.
    """
    count = recipe.resolved("generated_texts")
    if not count:
        return []
    from distill_pipeline.texts.chains import generate_chains
    from distill_pipeline.texts.generator import generate_sentences, generate_texts
    from distill_pipeline.vocabulary.frequencies import count_words, word_list

    if recipe.words_from == "corpus":
        words = count_words(recipe_passages(recipe, folder) if passages is None else passages)
    else:
        words = word_list(recipe.language)
    if not words.words and recipe.refinement == "corpus":
        return []
    if not words.words:
        raise RecipeError(
            f"words_from=corpus: {', '.join(recipe.corpus)} holds no word between spaces; texts can't be made of it: "
            "use refinement=corpus"
        )
    # Chains need English word pairs, sentences English phrases.
    third = count // 3 if recipe.language == "en" else 0
    covered = min(recipe.vocabulary_words, _MAX_COVERED)
    groups = [generate_texts(words, count - 2 * third, seed=recipe.seed, covered=covered)]
    if third:
        groups.append(generate_chains(words, third, seed=recipe.seed, covered=covered))
        groups.append(generate_sentences(words, third, seed=recipe.seed, covered=covered))
    return groups


def _dictionary_and_generated_texts(
    recipe: Recipe, folder: Path | None, passages: Sequence[str] | None = None
) -> TextGroups:
    """Return definitions and examples of the dictionary if the recipe uses it, and its generated texts."""
    from distill_pipeline.texts.definitions import dictionary_texts

    found = dictionary_texts(recipe.dictionary_texts, seed=recipe.seed) if recipe.uses_dictionary else ()
    return [*found, *generated_texts(recipe, folder, passages)]


def _passages_and_other_texts(recipe: Recipe, folder: Path | None) -> TextGroups:
    """Return passages of the corpus, and the dictionary's and generated texts for the rare words that it lacks."""
    passages = recipe_passages(recipe, folder)
    groups = [passages, *_dictionary_and_generated_texts(recipe, folder, passages)]
    if sum(map(len, groups)) < MIN_REFINEMENT_TEXTS:
        raise RecipeError(
            f"{', '.join(recipe.corpus)}: {len(passages)} passages and generated_texts="
            f"{recipe.resolved('generated_texts')}; a refinement needs at least {MIN_REFINEMENT_TEXTS} texts"
        )
    return groups


_TEXTS: Mapping[str, Callable[[Recipe, Path | None], TextGroups]] = {
    "corpus": _passages_and_other_texts,
    "dictionary": _dictionary_and_generated_texts,
    "generated": generated_texts,
}


def refinement_texts(recipe: Recipe, folder: Path | None = None) -> TextGroups:
    """Return the texts for a recipe's refinement, in groups of one kind, none of them empty.

    The passages of a corpus lie in a nameless file in the folder.

    Raises:
        RecipeError: There are too few texts.
        CorpusError: The corpus can't be read.
        DictionaryError: The dictionary is needed and isn't there.
    """
    return [group for group in _TEXTS[recipe.resolved("refinement")](recipe, folder) if group]


def text_fields(recipe: Recipe) -> tuple[str, ...]:
    """Return which fields of the recipe `refinement_texts` reads: those in the stage's fingerprint."""
    fields: tuple[str, ...] = CORPUS_FIELDS if recipe.refinement == "corpus" else ()
    if recipe.uses_dictionary:
        fields += ("dictionary_texts", "seed")
    if recipe.resolved("generated_texts"):
        fields += ("generated_texts", "language", "vocabulary_words", "seed")
        if recipe.words_from == "corpus":
            fields += ("words_from", *CORPUS_FIELDS)
    return fields


def check_texts(recipe: Recipe) -> None:
    """Look, before any work, whether the dictionary is there if the recipe uses it. Raises `DictionaryError`."""
    if recipe.uses_dictionary:
        check_dictionary()

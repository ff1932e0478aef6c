"""Texts of the dictionary: what a student is fitted to, and when."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from distill_pipeline.errors import RecipeError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.texts.definitions import dictionary_texts
from distill_pipeline.texts.dictionary import read_synsets
from distill_pipeline.texts.refinements import refinement_texts, text_fields
from distill_pipeline_tests.running import TO_MATRIX, Chain


def test_definitions_stand_after_their_words_and_nothing_held_out_is_among_them() -> None:
    definitions, examples = dictionary_texts(10**6, seed=0)
    synsets = read_synsets()
    fitted = [synset for synset in synsets if not synset.held_out]
    assert len(definitions) == len(fitted)
    assert len(examples) == sum(len(synset.examples) for synset in fitted)
    for synset, text in zip(fitted[::500], definitions[::500], strict=True):
        words, _, _ = text.partition(f": {synset.definition}")
        assert {word.lower() for word in words.split(", ")} <= {
            part.lower() for lemma in synset.lemmas for part in lemma.split(", ")
        }
    known = {synset.definition for synset in fitted}
    ends = {text.partition(": ")[2].removesuffix(".") for text in definitions}
    assert not {s.definition for s in synsets if s.held_out and s.definition not in known} & ends


def test_a_smaller_number_is_a_sample_of_both_kinds_and_the_seed_decides() -> None:
    definitions, examples = dictionary_texts(1000, seed=3)
    assert len(definitions) + len(examples) == 1000
    assert min(len(definitions), len(examples)) > 200
    assert dictionary_texts(1000, seed=3) == (definitions, examples)
    assert dictionary_texts(1000, seed=4) != (definitions, examples)


def test_a_sample_has_long_texts_only_when_there_is_no_short_one_left() -> None:
    longest = [max(len(text.split()) for text in dictionary_texts(count, seed=0)[0]) for count in (110_000, 125_000)]
    assert longest[0] == 14 < longest[1]


def test_english_is_fitted_to_the_dictionary_and_other_languages_are_not(small_recipe: Callable[..., Recipe]) -> None:
    few = {"refinement": "auto", "dictionary_texts": 120, "generated_texts": 30}
    english = small_recipe(**few)
    assert english.resolved("refinement") == "dictionary"
    assert sum(map(len, refinement_texts(english))) == 150
    assert "dictionary_texts" in text_fields(english)
    german = small_recipe(**few | {"generated_texts": 200}, language="de")
    assert german.resolved("refinement") == "generated"
    assert [len(group) for group in refinement_texts(german)] == [200]
    assert "dictionary_texts" not in text_fields(german)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"refinement": "dictionary", "language": "de"}, "the dictionary is English, not de; use generated"),
        ({"refinement": "dictionary", "dictionary_texts": 60, "generated_texts": 9}, "needs at least 100 texts"),
    ],
)
def test_what_a_dictionary_can_t_do_is_said_at_once(
    small_recipe: Callable[..., Recipe], fields: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        small_recipe(**fields)


def test_a_student_is_fitted_to_the_dictionary(chain: Chain, small_recipe: Callable[..., Recipe]) -> None:
    recipe = small_recipe(refinement="dictionary", dictionary_texts=300, generated_texts=60)
    facts = chain.metadata(chain.run(recipe, TO_MATRIX))["student_matrix"]["refinement"]
    assert facts["texts"] == 360
    assert facts["r_squared"] > facts["r_squared_of_the_start"]

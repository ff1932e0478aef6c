"""Words and frequencies counted in a corpus instead of taken from wordfreq's lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.errors import RecipeError
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.texts.refinements import generated_texts
from distill_pipeline.vocabulary.frequencies import count_words
from distill_pipeline.vocabulary.vocabulary import build_vocabulary, build_word_vocabulary, read_vocabulary
from distill_pipeline_tests.running import TO_MATRIX, Chain

# No words of any language that wordfreq lists.
TEXTS = [
    f"Blorvik {verb} the zanthuum near Quaxil, and the zanthuum {verb}s Quaxil ({number})."
    for number, verb in enumerate(("flimpers", "grobbels", "snurfs", "wibbels", "trilks", "dweeps"))
]


def test_words_are_counted_whatever_their_case_and_spelled_as_most_often() -> None:
    words = count_words(["The cat met Anna.", "the cat saw anna", "the dog met Anna"])
    assert words.words == ("Anna", "the", "cat", "met", "dog", "saw")
    assert words.shares == pytest.approx(np.array([3, 3, 2, 2, 1, 1]) / 12)


def test_the_corpus_s_words_become_entries_with_the_corpus_s_frequencies(modernbert: Path) -> None:
    vocabulary = build_word_vocabulary(modernbert, count=3, passages=TEXTS, words_from_passages=True)
    tokens = [vocabulary.tokenizer.encode(text, add_special_tokens=False).tokens for text in TEXTS]
    assert all({"the", "zanthuum", "quaxil"} <= set(found) for found in tokens)
    assert "the corpus: 6 passages" in vocabulary.frequency_source
    counted = sum(len(found) for found in tokens)
    share = vocabulary.frequencies[vocabulary.tokenizer.token_to_id("zanthuum")]
    assert share == pytest.approx(sum(found.count("zanthuum") for found in tokens) / counted, rel=1e-4)
    assert vocabulary.frequencies.min() > 0
    assert vocabulary.frequencies.sum() == pytest.approx(1)


def test_a_teacher_s_own_vocabulary_is_counted_in_the_corpus_too(bert: Path) -> None:
    vocabulary = build_vocabulary(bert, passages=TEXTS)
    comma, question = (vocabulary.tokenizer.token_to_id(mark) for mark in (",", "?"))
    assert vocabulary.frequencies[comma] > 1000 * vocabulary.frequencies[question]


def test_generated_texts_are_made_of_the_corpus_s_words(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))
    bags, chains, sentences = generated_texts(
        recipe(words_from="corpus", corpus=[str(tmp_path / "corpus.txt")], seed=3)
    )
    assert sum("zanthuum" in text.lower() for text in bags) > len(bags) / 4
    assert not any("people" in text for text in bags)
    for english in (chains, sentences):
        assert sum("zanthuum" in text.lower() for text in english) > len(english) / 10


def test_a_language_without_a_word_list_is_distilled_with_its_corpus(
    chain: Chain, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))
    made = recipe(language="eo", words_from="corpus", corpus=[str(tmp_path / "corpus.txt")], vocabulary_words=50)
    assert chain.run(made, TO_MATRIX).success
    assert "zanthuum" in read_vocabulary(chain.output(made, "vocabulary").folder).tokens


def test_only_recipes_that_count_words_depend_on_the_corpus(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"

    def addresses(text: str, **fields: object) -> list[str]:
        corpus.write_text(text)
        keys = stage_keys(recipe(corpus=[str(corpus)], **fields), {"files_sha256": "0"})
        return [keys[stage].fingerprint for stage in ("vocabulary", "text_embeddings")]

    before, after = (addresses(text, words_from="corpus") for text in ("one two three", "four five six"))
    assert not set(before) & set(after)
    assert addresses("one two three") == addresses("four five six")


def test_counting_needs_texts_that_hold_words(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="words_from=corpus needs texts"):
        make_recipe({"name": "r", "teacher": "MINILM_EMBEDDED", "words_from": "corpus"}, source="a.yaml")
    (tmp_path / "numbers.txt").write_text("1 2 3\n4 5 6\n")
    with pytest.raises(RecipeError, match="holds no word"):
        generated_texts(recipe(words_from="corpus", corpus=[str(tmp_path / "numbers.txt")]))

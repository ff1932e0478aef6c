"""Phrases of a corpus, and what becomes of them in a vocabulary and a chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.vocabulary.phrases import frequent_phrases
from distill_pipeline.vocabulary.spelling import Spelling
from distill_pipeline.vocabulary.vocabulary import build_word_vocabulary
from distill_pipeline_tests.running import TO_MATRIX, Chain

TEXTS = [
    f"How many {noun} are in New York, and {verb} the {noun}?"
    for noun in ("owls", "bakers", "trams", "rivers", "singers")
    for verb in ("feeds", "paints", "counts", "fears")
]


def test_words_that_stand_together_are_phrases_and_chance_neighbours_are_not() -> None:
    phrases = frequent_phrases(TEXTS, 100, Spelling())
    assert {"how many", "new york", "are in"} <= set(phrases)
    assert not {"many owls", "york and", "feeds the"} & set(phrases)  # too seldom, or a comma stands between
    assert phrases["new york"] == pytest.approx(20 / sum(len(text.split()) for text in TEXTS))


def test_the_best_phrases_come_first_and_none_is_taken_beyond_the_count() -> None:
    every = list(frequent_phrases(TEXTS, 100, Spelling()))
    assert list(frequent_phrases(reversed(TEXTS), 3, Spelling())) == every[:3]


def test_counts_are_those_of_all_texts_though_pairs_are_counted_a_part_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = np.random.default_rng(0).integers(0, 26, (500, 10))
    texts = [" ".join(f"{chr(97 + name)} {chr(65 + name % 7)}" for name in text) for text in names]
    pairs = Counter(" ".join(pair) for text in texts for pair in pairwise(text.split()))
    monkeypatch.setattr("distill_pipeline.vocabulary.phrases._PAIRS_AT_ONCE", 1000)
    phrases = frequent_phrases(texts, 1000, Spelling(lowercase=False))
    assert len(phrases) >= 26
    assert phrases == {phrase: pairs[phrase] / 10_000 for phrase in phrases}


def test_case_is_folded_only_where_the_tokenizer_folds_it() -> None:
    assert "New York" in frequent_phrases(TEXTS, 100, Spelling(lowercase=False))


@pytest.mark.parametrize("kind", ["modernbert", "bert", "unigram"])
def test_a_phrase_is_one_entry_read_as_text_with_the_corpus_frequency(
    request: pytest.FixtureRequest, kind: str
) -> None:
    folder = request.getfixturevalue(kind)
    vocabulary = build_word_vocabulary(folder, count=300, phrases=10, passages=TEXTS)
    rows = vocabulary.tokenizer.encode("(How many people of New York?)", add_special_tokens=False).ids
    assert {"how many", "new york"} <= {vocabulary.tokens[row] for row in rows}
    row = vocabulary.tokenizer.token_to_id("new york")
    teacher = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert vocabulary.teacher_ids[row] in [teacher.encode(text).ids for text in (" new york", " New york", " NEW YORK")]
    assert vocabulary.frequencies[row] > 1000 * vocabulary.frequencies.min()
    assert vocabulary.frequencies.sum() == pytest.approx(1)


def test_a_corpus_brings_its_phrases_into_the_student(
    chain: Chain, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    from model2vec import StaticModel

    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))
    made = recipe(refinement="corpus", corpus=[str(tmp_path / "corpus.txt")])
    chain.run(made, ["vocabulary", "token_embeddings", "text_embeddings"])
    chain.run(made, ["student_matrix", "static_model"])
    student = StaticModel.from_pretrained(chain.output(made, "static_model").folder)
    together, apart = student.encode(["new york", "york new"])
    assert not np.allclose(together, apart)


def test_a_corpus_has_a_penalty_of_its_own_and_no_similarity_steps(
    chain: Chain, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))
    made = recipe(refinement="corpus", corpus=[str(tmp_path / "corpus.txt")])
    facts = chain.metadata(chain.run(made, TO_MATRIX))["student_matrix"]["refinement"]
    assert facts["penalty"] == 0.4
    assert facts["penalty"] == 0.4
    assert facts["similarity_error_by_step"] == []


def test_what_auto_stands_for_shares_the_outputs_of_the_same_number(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))
    corpus = {"refinement": "corpus", "corpus": [str(tmp_path / "corpus.txt")]}

    def addresses(**fields: object) -> list[str]:
        return [key.fingerprint for key in stage_keys(recipe(**fields), {"files_sha256": "0"}).values()]

    assert addresses(generated_texts="auto") == addresses(generated_texts=45_000)
    dictionary = {"refinement": "dictionary", "dictionary_texts": 500}
    assert addresses(**dictionary, generated_texts="auto") == addresses(**dictionary, generated_texts=9_000)
    without = {**dictionary, "dictionary_texts": 0}
    assert addresses(**without, generated_texts="auto") == addresses(**without, generated_texts=45_000)
    assert addresses(**corpus, generated_texts="auto") == addresses(**corpus, generated_texts=180_000)
    assert addresses(**corpus, generated_texts="auto") != addresses(**corpus, generated_texts=45_000)
    assert addresses() == addresses(weighting="fitted", whitening=0.3)


def test_phrases_change_the_vocabulary_of_a_corpus_recipe_alone(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS))
    corpus = {"refinement": "corpus", "corpus": [str(tmp_path / "corpus.txt")]}

    def address(**fields: object) -> str:
        return stage_keys(recipe(**fields), {"files_sha256": "0"})["vocabulary"].fingerprint

    assert address(**corpus) != address(**corpus, phrases=5)
    assert address(**corpus, phrases=0) == address() == address(phrases=5)

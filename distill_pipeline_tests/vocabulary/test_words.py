"""A vocabulary of words for every kind of teacher tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from distill_pipeline.errors import RecipeError
from distill_pipeline.vocabulary.spelling import LONGEST_RUN, Spelling
from distill_pipeline.vocabulary.vocabulary import Vocabulary, build_vocabulary, build_word_vocabulary
from distill_pipeline.vocabulary.words import WORD, entry_groups, word_entries, word_tokenizer

KINDS = ["modernbert", "bert", "unigram"]


def _uncased(pieces: list[str]) -> Tokenizer:
    """Return a BERT tokenizer of these pieces and letters, that folds case."""
    letters = "abcdefghijklmnopqrstuvwxyzδοσς"
    tokens = ["[UNK]", *pieces, *letters, *(f"##{letter}" for letter in letters)]
    model = models.WordPiece({token: row for row, token in enumerate(tokens)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _vocabulary(folder: Path, **options: object) -> Vocabulary:
    return build_word_vocabulary(folder, **{"count": 500, **options})  # type: ignore[arg-type]


def _reads(folder: Path, text: str) -> list[int]:
    ids: list[int] = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    return ids


def _row(vocabulary: Vocabulary, text: str) -> int:
    [row] = vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
    return int(row)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", ["pineapple", "café"])
def test_the_teacher_receives_a_word_exactly_as_it_reads_it_after_a_space(
    request: pytest.FixtureRequest, kind: str, word: str
) -> None:
    folder = request.getfixturevalue(kind)
    vocabulary = _vocabulary(folder, words=[word], lowercase=False)
    assert vocabulary.teacher_ids[_row(vocabulary, f"a {word}".removeprefix("a "))] == _reads(folder, f" {word}")


@pytest.mark.parametrize("kind", KINDS)
def test_entries_are_unique_and_stand_at_their_rows(request: pytest.FixtureRequest, kind: str) -> None:
    vocabulary = _vocabulary(request.getfixturevalue(kind))
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens) == vocabulary.tokenizer.get_vocab_size()
    assert [vocabulary.tokenizer.token_to_id(token) for token in vocabulary.tokens] == list(
        range(len(vocabulary.tokens))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_rare_word_falls_apart_into_known_pieces(request: pytest.FixtureRequest, kind: str) -> None:
    vocabulary = _vocabulary(request.getfixturevalue(kind))
    encoded = vocabulary.tokenizer.encode("zzyzxbrok", add_special_tokens=False)
    assert len(encoded.ids) > 1
    assert "[UNK]" not in encoded.tokens


def test_an_unknown_symbol_hides_no_word(bert: Path) -> None:
    vocabulary = _vocabulary(bert)
    tokens = vocabulary.tokenizer.encode("people🎉water", add_special_tokens=False).tokens
    assert tokens == ["people", "[UNK]", "water"]


def test_case_and_accents_fold_unless_the_recipe_says_otherwise(modernbert: Path) -> None:
    folded, kept = _vocabulary(modernbert, words=["Osaka"]), _vocabulary(modernbert, words=["Osaka"], lowercase=False)
    assert folded.tokenizer.encode("OSÁKA", add_special_tokens=False).tokens == ["osaka"]
    assert kept.tokenizer.encode("Osaka", add_special_tokens=False).tokens == ["Osaka"]


def test_the_teacher_reads_a_name_in_its_usual_case(modernbert: Path) -> None:
    # The tiny tokenizer was trained on text in which Lisbon stands capitalised alone.
    vocabulary = _vocabulary(modernbert, words=["lisbon"])
    read = vocabulary.teacher_ids[_row(vocabulary, "Lisbon")]
    assert len(read) <= len(_reads(modernbert, " lisbon"))


@pytest.mark.parametrize("word", ["café", "iPhone", "New York"])
def test_capitals_and_accents_that_were_given_reach_the_teacher(modernbert: Path, word: str) -> None:
    vocabulary = _vocabulary(modernbert, words=[word])
    assert vocabulary.teacher_ids[_row(vocabulary, word)] == _reads(modernbert, f" {word}")


def test_words_of_which_nothing_is_left_get_no_entry(bert: Path) -> None:
    vocabulary = _vocabulary(bert, words=["\u200b", "##e"])
    assert len(vocabulary.tokens) == len(_vocabulary(bert).tokens) == vocabulary.tokenizer.get_vocab_size()


def test_a_chinese_teachers_characters_are_entries(tmp_path: Path) -> None:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "天", "气"]
    tokenizer = Tokenizer(models.WordPiece({token: row for row, token in enumerate(tokens)}, unk_token="[UNK]"))
    entries = word_entries(tokenizer, [], Spelling(), special=frozenset(tokens[:5]))
    encoded = word_tokenizer(entries, Spelling()).encode("天气", add_special_tokens=False)
    assert encoded.tokens == ["天", "气"]


def test_a_phrase_of_ones_own_stays_whole(bert: Path) -> None:
    vocabulary = _vocabulary(bert, words=["ice cream"])
    row, *_ = vocabulary.tokenizer.encode("Ice cream, please", add_special_tokens=False).ids
    assert vocabulary.tokens[row] == "ice cream"
    assert vocabulary.teacher_ids[vocabulary.tokens.index("ice cream")] == _reads(bert, " ice cream")


def test_frequencies_know_that_the_is_frequent_and_marks_count(bert: Path) -> None:
    vocabulary = _vocabulary(bert)
    frequency = dict(zip(vocabulary.tokens, vocabulary.frequencies, strict=True))
    assert vocabulary.frequency_source == "wordfreq: en"
    assert frequency[","] > frequency["the"] > frequency["water"] > frequency["[PAD]"]
    np.testing.assert_allclose(vocabulary.frequencies.sum(), 1)
    assert (vocabulary.frequencies > 0).all()


@pytest.mark.parametrize("language", ["xx", "ko"])
def test_a_language_without_words_or_a_tokenizer_that_does_not_fit_falls_back_to_zipf(
    bert: Path, language: str
) -> None:
    vocabulary = build_vocabulary(bert, language=language)
    assert vocabulary.frequency_source.startswith("zipf: ")
    assert (np.diff(vocabulary.frequencies) < 0).all()


def test_groups_tell_words_pieces_marks_and_what_is_no_text(bert: Path) -> None:
    vocabulary = _vocabulary(bert, words=["ice cream"])
    groups = dict(zip(vocabulary.tokens, entry_groups(vocabulary.tokenizer), strict=True))
    assert groups["[UNK]"] == groups["[PAD]"] == -1
    assert groups["the"] == groups["ice cream"] == 0
    assert groups["##e"] == 1
    assert groups[","] == 2


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Café", "cafe"),
        ("Ёлка", "елка"),
        ("שָׁלוֹם", "שלום"),
        ("के", "के"),
        ("हिन्दी", "हिन्दी"),
        ("が", "が"),
        ("한국어", "한국어"),
    ],
)
def test_marks_that_are_vowels_are_kept_when_accents_are_folded(text: str, folded: str) -> None:
    assert Spelling().normalizer().normalize_str(text) == folded


def test_a_word_with_marks_is_one_word_and_falls_apart_into_pieces_that_begin_with_them() -> None:
    assert WORD.findall("हिन्दी में, don't") == ["हिन्दी", "में", "don't"]
    vocabulary = {"[UNK]": 0, "[PAD]": 1, "क": 2, "##ा": 3, "##म": 4, "में": 5}
    teacher = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    entries = word_entries(teacher, ["हिन्दी"], Spelling(), special=frozenset({"[UNK]", "[PAD]"}))
    student = word_tokenizer(entries, Spelling())
    assert student.encode("काम", add_special_tokens=False).tokens == ["क", "##ा", "##म"]
    assert student.encode("हिन्दी", add_special_tokens=False).tokens == ["हिन्दी"]
    groups = entry_groups(student)
    assert [groups[student.token_to_id(token)] for token in ("हिन्दी", "##ा", "में")] == [0, 1, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_of_too_many_entries_the_rarest_words_go_and_then_the_rarest_pieces(
    request: pytest.FixtureRequest, kind: str
) -> None:
    folder = request.getfixturevalue(kind)
    whole, without_words = _vocabulary(folder), set(_vocabulary(folder, count=0).tokens)
    some = _vocabulary(folder, max_entries=len(without_words) + 100, words=["quetzal"])
    assert without_words | {"quetzal"} < set(some.tokens) < {*whole.tokens, "quetzal"}
    assert len(some.tokens) == len(without_words) + 100
    few = _vocabulary(folder, max_entries=len(without_words) - 20, words=["quetzal"])
    assert len(few.tokens) == len(without_words) - 20
    # A word that the teacher knows as a piece within words counts as a piece.
    assert {token for token in few.tokens if f"##{token}" not in without_words} - without_words == {"quetzal"}
    assert [few.tokenizer.token_to_id(token) for token in few.tokens] == list(range(len(few.tokens)))
    encoded = few.tokenizer.encode("quetzal zzyzxbrok", add_special_tokens=False)
    assert encoded.tokens[0] == "quetzal"
    assert "[UNK]" not in encoded.tokens


def test_fewer_entries_than_there_are_characters_are_refused(bert: Path) -> None:
    with pytest.raises(RecipeError, match="max_entries=12: single characters and your own words alone are"):
        _vocabulary(bert, max_entries=12)


def test_a_teacher_that_folds_case_is_asked_where_folding_does_not_tell_what_it_reads() -> None:
    teacher, words = _uncased(["οδοσ"]), ["covid", "owl", "οδος"]
    entries = {entry.token: entry.text for entry in word_entries(teacher, words, Spelling(), special=frozenset())}
    # A sigma at the end is another letter, but not to a teacher that folds capitals letter by letter.
    assert [entries[word] for word in words] == ["covid", "owl", "ΟΔΟΣ"]
    teacher.add_tokens([AddedToken("COVID", normalized=False)])
    entries = {entry.token: entry.text for entry in word_entries(teacher, words, Spelling(), special=frozenset())}
    assert entries["covid"] == "COVID"


@pytest.mark.parametrize(("letters", "stays"), [(LONGEST_RUN, True), (LONGEST_RUN + 1, False)])
def test_a_word_stays_whole_up_to_the_longest_run(letters: int, *, stays: bool) -> None:
    word = "ab" * 50
    entries = word_entries(_uncased([]), [word[:letters]], Spelling(), special=frozenset())
    assert (word[:letters] in {entry.token for entry in entries}) is stays

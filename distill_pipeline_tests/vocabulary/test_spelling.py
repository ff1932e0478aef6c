"""Scripts and marks: what the teacher reads, the student reads, in one spelling or another."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from distill_pipeline.texts.generator import generate_texts
from distill_pipeline.vocabulary.frequencies import count_words, word_list
from distill_pipeline.vocabulary.spelling import Spelling, merged_by_accents
from distill_pipeline.vocabulary.vocabulary import Vocabulary, build_word_vocabulary

SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
CLAUSES = ["ร้านกาแฟริมทะเลเปิดหกโมง", "我们在海边的小店喝咖啡", "海辺の小さな店でコーヒーを飲んだ", "ហាងកាហ្វេមាត់សមុទ្រ"]
"""A shop by the sea that sells coffee, in Thai, Chinese, Japanese and Khmer."""
MARKED = ["कड़वी चाय", "ベランダでパンを", "ἡ θάλασσα", "der Füller"]


def _save(folder: Path, tokenizer: Tokenizer) -> Path:
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("unk_token", "cls_token", "sep_token", "pad_token", "mask_token"), SPECIAL, strict=True)),
    ).save_pretrained(folder)
    (folder / "config.json").write_text('{"max_position_embeddings": 512}')
    return folder


def _wordpiece(folder: Path, texts: list[str], *, uncased: bool) -> Path:
    """Write a WordPiece tokenizer of single characters, at the beginning of words and within."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=uncased)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    letters = sorted({c for text in texts for c in tokenizer.normalizer.normalize_str(text) if not c.isspace()})
    tokens = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    tokenizer.model = models.WordPiece({token: row for row, token in enumerate(tokens)}, unk_token="[UNK]")
    return _save(folder, tokenizer)


def _multilingual(folder: Path) -> Path:
    """Write a Unigram tokenizer that knows the letters of all texts here, and few words."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=5000, special_tokens=SPECIAL, unk_token="[UNK]", max_piece_length=2, show_progress=False
    )
    words = [" ".join(word_list(language).words[:1000]) for language in ("vi", "zh", "ja", "en", "ru")]
    tokenizer.train_from_iterator([*CLAUSES, *MARKED, *words] * 3, trainer)
    return _save(folder, tokenizer)


def _vocabulary(folder: Path, **options: object) -> Vocabulary:
    return build_word_vocabulary(folder, **{"count": 300, **options})  # type: ignore[arg-type]


def _tokens(vocabulary: Vocabulary, text: str) -> list[str]:
    return [vocabulary.tokens[row] for row in vocabulary.tokenizer.encode(text, add_special_tokens=False).ids]


def _unknown(folder: Path, text: str) -> bool:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return tokenizer.token_to_id("[UNK]") in tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("language", ["th", "en"])
def test_a_run_of_any_length_is_read_in_pieces(tmp_path: Path, language: str) -> None:
    vocabulary = _vocabulary(_multilingual(tmp_path / "teacher"), language=language)
    for letters in (CLAUSES[0], "millwheel"):
        tokens = _tokens(vocabulary, letters * 40)
        assert "[UNK]" not in tokens
        assert "".join(token.removeprefix("##") for token in tokens) == Spelling(
            compatibility=True
        ).normalizer().normalize_str(letters * 40)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
@pytest.mark.parametrize("kind", ["uncased", "cased", "multilingual"])
def test_what_the_teacher_reads_the_student_reads(tmp_path: Path, kind: str, form: str) -> None:
    texts = [*CLAUSES, *MARKED, "한국의 바다"]
    folder = tmp_path / "teacher"
    if kind == "multilingual":
        _multilingual(folder)
    else:
        _wordpiece(folder, texts, uncased=kind == "uncased")
    for lowercase in (True, False):
        vocabulary = _vocabulary(folder, count=0, lowercase=lowercase)
        for text in texts:
            spelled = unicodedata.normalize(form, text)  # type: ignore[arg-type]
            if not _unknown(folder, spelled):
                assert "[UNK]" not in _tokens(vocabulary, spelled), (lowercase, text)


@pytest.mark.parametrize("lowercase", [True, False])
def test_full_width_letters_and_ligatures_are_plain_ones_to_a_teacher_that_reads_them(
    modernbert: Path, lowercase: bool
) -> None:
    vocabulary = _vocabulary(modernbert, lowercase=lowercase)
    assert _tokens(vocabulary, "ｗａｔｅｒ") == _tokens(vocabulary, "water")
    assert _tokens(vocabulary, "oﬃce, ﬁne") == _tokens(vocabulary, "office, fine")
    assert _tokens(vocabulary, "water™") == _tokens(vocabulary, "water")


@pytest.mark.parametrize("kind", ["modernbert", "bert", "unigram"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_composed_and_decomposed_letters_are_one(request: pytest.FixtureRequest, kind: str, lowercase: bool) -> None:
    vocabulary = _vocabulary(request.getfixturevalue(kind), words=["purée", "cliché"], lowercase=lowercase)
    for word in ("purée", "cliché"):
        [token] = _tokens(vocabulary, word)
        assert _tokens(vocabulary, unicodedata.normalize("NFD", word)) == [token]


def test_words_of_other_accents_have_other_entries_where_accents_make_words(tmp_path: Path) -> None:
    folder = _multilingual(tmp_path / "teacher")
    words = ["bo", "bó", "bò", "bỏ", "bõ", "bọ"]
    vietnamese = _vocabulary(folder, language="vi", words=words)
    assert len({_tokens(vietnamese, word)[0] for word in words}) == len(words)
    assert vietnamese.accents.startswith("accents are kept")
    english = _vocabulary(folder, words=["bo", "résumé"])
    assert _tokens(english, "Bõ RESUME") == ["bo", "resume"]


def test_it_is_said_how_many_words_folded_accents_merge(bert: Path) -> None:
    french = _vocabulary(bert, language="fr", count=2000)  # the teacher's own tokenizer folds them
    assert french.accents.startswith("accents are folded, as the teacher's tokenizer does")
    words = word_list("fr").words[:2000]
    plain = ["".join(c for c in unicodedata.normalize("NFD", w) if unicodedata.category(c) != "Mn") for w in words]
    assert f"{len(words) - len(set(plain)):,} words share an entry" in french.accents


def test_a_word_of_other_case_alone_is_not_merged_by_accents() -> None:
    assert merged_by_accents(["Polish", "polish", "pâté", "pate", "Pate"], Spelling()) == [3, 4]


def test_points_of_arabic_and_hebrew_are_folded_but_not_what_makes_another_letter() -> None:
    normalizer = Spelling(accents=False).normalizer()
    assert normalizer.normalize_str("كَتَبَ") == "كتب"
    assert normalizer.normalize_str("أب") == unicodedata.normalize("NFC", "أب")
    assert normalizer.normalize_str("סֵפֶר") == "ספר"
    assert normalizer.normalize_str("МОЙ") == "мой"


def test_a_space_of_no_width_separates_words(tmp_path: Path) -> None:
    vocabulary = _vocabulary(_multilingual(tmp_path / "teacher"), language="km", words=["ហាង", "កាហ្វេ"])
    assert _tokens(vocabulary, "ហាង\u200bកាហ្វេ") == _tokens(vocabulary, "ហាង កាហ្វេ") == ["ហាង", "កាហ្វេ"]


@pytest.mark.parametrize(
    ("language", "words", "text", "tokens"),
    [
        ("zh", ["咖啡店", "咖啡"], "我在咖啡店喝咖啡", ["我", "在", "咖啡店", "喝", "咖啡"]),
        ("ja", ["コーヒー", "飲んだ"], "店でコーヒーを飲んだ。", ["店", "で", "コーヒー", "を", "飲んだ"]),
        ("th", ["กาแฟ", "ริม", "ทะเล"], "กาแฟริมทะเล", ["กาแฟ", "ริม", "ทะเล"]),
    ],
)
def test_words_of_scripts_without_spaces_are_found_in_running_text(
    tmp_path: Path, language: str, words: list[str], text: str, tokens: list[str]
) -> None:
    folder = _multilingual(tmp_path / "teacher")
    vocabulary = _vocabulary(folder, language=language, words=words, count=0)
    assert _tokens(vocabulary, text)[: len(tokens)] == tokens
    teacher = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for word in words:
        assert vocabulary.teacher_ids[vocabulary.tokens.index(word)] == teacher.encode(word).ids


@pytest.mark.parametrize("language", ["vi", "zh", "ja"])
def test_each_frequent_word_reaches_its_own_row(tmp_path: Path, language: str) -> None:
    vocabulary = _vocabulary(_multilingual(tmp_path / "teacher"), language=language, count=1000)
    words = [word for word in word_list(language).words[:1000] if word.isalpha()]
    rows = {tuple(vocabulary.tokenizer.encode(word, add_special_tokens=False).ids) for word in words}
    assert not [word for word in words if len(_tokens(vocabulary, word)) != 1]
    assert len(rows) == len(words)


def test_a_mark_after_a_word_of_such_a_script_does_not_hide_what_follows(tmp_path: Path) -> None:
    vocabulary = _vocabulary(_multilingual(tmp_path / "teacher"), language="th", words=["รา"])
    assert "[UNK]" not in _tokens(vocabulary, "รา้นกาแฟ")


@pytest.mark.parametrize("kind", ["modernbert", "bert", "unigram"])
def test_a_phrase_is_found_between_whole_words_alone(request: pytest.FixtureRequest, kind: str) -> None:
    vocabulary = _vocabulary(request.getfixturevalue(kind), words=["in a", "on the"])
    assert "in a" not in _tokens(vocabulary, "captain america")
    assert _tokens(vocabulary, "in a, on the on the") == ["in a", ",", "on the", "on the"]
    added = vocabulary.tokenizer.get_added_tokens_decoder().values()
    assert not any(token.single_word for token in added)  # which not every runtime knows


def test_words_that_the_teacher_can_not_read_are_left_out_and_named(tmp_path: Path) -> None:
    latin = _wordpiece(tmp_path / "teacher", ["abcdefghijklmnopqrstuvwxyz"], uncased=True)
    vocabulary = _vocabulary(latin, language="ru", words=["harbour", "гавань"])
    assert not any("а" <= token[0] <= "я" for token in vocabulary.tokens)
    assert any("entries left out" in note and note.startswith("3") for note in vocabulary.notes)
    assert any("your words гавань;" in note for note in vocabulary.notes)


@pytest.mark.parametrize("lowercase", [True, False])
def test_special_tokens_among_ones_own_words_are_left_out_and_named(bert: Path, lowercase: bool) -> None:
    vocabulary = _vocabulary(bert, words=["[UNK]", "[PAD]", "[MASK]", "lighthouse"], lowercase=lowercase)
    assert len(vocabulary.tokens) == len(vocabulary.teacher_ids) == vocabulary.tokenizer.get_vocab_size()
    assert _tokens(vocabulary, "lighthouse") == ["lighthouse"]
    assert any("[UNK], [PAD], [MASK]" in note for note in vocabulary.notes)


def test_words_of_a_tokenizer_that_marks_their_end_are_entries(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=SPECIAL, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(["the lighthouse keeper lights the lamp at dusk"] * 20, trainer)
    vocabulary = _vocabulary(_save(tmp_path / "teacher", tokenizer), count=0)
    assert not any("</w>" in token for token in vocabulary.tokens)
    assert _tokens(vocabulary, "lighthouse") == ["lighthouse"]
    own = tokenizer.encode("lighthouse", add_special_tokens=False)
    assert own.tokens == ["lighthouse</w>"]
    assert vocabulary.teacher_ids[vocabulary.tokens.index("lighthouse")] == own.ids


def test_a_teacher_that_puts_a_space_before_each_text_reads_no_second_one(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(vocab_size=100, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(["lighthouse", "keeper"] * 20, trainer)
    vocabulary = _vocabulary(_save(tmp_path / "teacher", tokenizer), count=0, words=["lighthouse"])
    assert vocabulary.teacher_ids[vocabulary.tokens.index("lighthouse")] == tokenizer.encode("lighthouse").ids


def test_clauses_of_a_corpus_are_no_words_and_that_is_said(tmp_path: Path) -> None:
    assert count_words([*CLAUSES, "café by the sea"]).words == ("by", "café", "sea", "the")
    vocabulary = _vocabulary(
        _multilingual(tmp_path / "teacher"), language="th", passages=CLAUSES, words_from_passages=True
    )
    assert not any(len(token) > 4 for token in vocabulary.tokens if not token.startswith("["))
    assert any("scripts without spaces" in note for note in vocabulary.notes)


def test_generated_texts_of_scripts_without_spaces_have_none_between_words() -> None:
    chinese = generate_texts(word_list("zh"), 50, seed=0)
    assert not any(f"{a} {b}" in text for text in chinese for a, b in zip("的是了", "的是了", strict=True))
    assert sum(text.count(" ") for text in generate_texts(word_list("en"), 50, seed=0)) > 200

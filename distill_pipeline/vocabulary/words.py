"""A vocabulary of words with a lower-cased WordPiece tokenizer of its own, whatever the teacher's tokenizer is.

The teacher's pieces stay as a safety net: a text's rare word falls apart into them, so that little is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import regex
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

UNKNOWN, PADDING = "[UNK]", "[PAD]"
_CONTINUES = "##"
_MAX_CHARACTERS = 100

_LETTERS = r"\p{L}[\p{L}\p{M}]*"
WORD = regex.compile(rf"{_LETTERS}(?:['’-]{_LETTERS})*")
"""A word in running text: letters with their marks (Hindi's vowels are such), and apostrophes and hyphens within."""

_OF_WORDS = regex.compile(r"[\p{L}\p{M}\p{N}]")
ALL_LETTERS = regex.compile(r"[\p{L}\p{M}]+")

_ACCENTS = (
    r"[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670]+"
)
"""Marks that readers do without: accents of Latin, Greek and Cyrillic letters, the points of Hebrew and Arabic. Those
of Indic scripts are vowels, and Japanese's tell か from が. Code points, since regular expressions name scripts
differently from one runtime to the next."""


@dataclass(frozen=True)
class Entry:
    """One entry of the vocabulary: its text for the teacher, or the teacher's id for a piece within a word."""

    token: str
    text: str | None = None
    piece: int | None = None


def word_tokenizer(entries: Sequence[Entry], *, lowercase: bool) -> Tokenizer:
    """Return a WordPiece tokenizer with one id per entry, in order."""
    vocabulary = {entry.token: row for row, entry in enumerate(entries)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_MAX_CHARACTERS))
    tokenizer.normalizer = text_normalizer(lowercase)
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([PADDING, UNKNOWN])
    split = [entry.token for entry in entries if entry.text is not None and _is_split(tokenizer, entry.token)]
    tokenizer.add_tokens([AddedToken(token, single_word=True, normalized=True) for token in split])
    return tokenizer


def _is_split(tokenizer: Tokenizer, token: str) -> bool:
    return len(tokenizer.pre_tokenizer.pre_tokenize_str(token)) > 1


def text_normalizer(lowercase: bool) -> normalizers.Normalizer:
    """Return how the student's tokenizer normalises a text before it splits it."""
    cleaned = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=False)
    if not lowercase:
        return cleaned
    folded = [normalizers.NFD(), normalizers.Replace(Regex(_ACCENTS), ""), normalizers.NFC()]
    return normalizers.Sequence([cleaned, *folded])


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    # BERT's split leaves symbols such as emoji inside a word, and one unknown symbol would hide the whole word.
    symbols = pre_tokenizers.Split(Regex(r"[^\p{L}\p{N}\p{M}]"), behavior="isolated")
    return pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), symbols])


def word_entries(
    teacher: Tokenizer, words: Sequence[str], *, lowercase: bool, special: frozenset[str], phrases: Sequence[str] = ()
) -> list[Entry]:
    """Return the vocabulary: padding, unknown, the teacher's word beginnings, the words, then inner pieces.

    A word that the teacher has in several spellings counts once. What the teacher reads for it is the word as given
    where that has capitals or accents, else the spelling of which its tokenizer makes the fewest tokens: its usual
    case, as far as the tokenizer tells.

    Args:
        teacher: The teacher's tokenizer.
        words: Words to add, most frequent first.
        lowercase: Whether the student folds case and accents.
        special: Tokens of the teacher that are no text.
        phrases: Entries that are kept whole although the student's tokenizer would split them.
    """
    normalizer, pre_tokenizer = text_normalizer(lowercase), _pre_tokenizer()

    def whole(text: str) -> str | None:
        """Return the normalised text if the student's tokenizer keeps it in one piece."""
        normal = normalizer.normalize_str(text).strip()  # which puts spaces around a Chinese character
        parts = [part for part, _ in pre_tokenizer.pre_tokenize_str(normal)]
        return normal if parts == [normal] else None

    beginnings: dict[str, None] = {}
    inner: dict[str, int] = {}
    for token_id, text, begins in readable_tokens(teacher, special):
        normal = whole(text)
        if normal is None:
            continue
        if begins or not _OF_WORDS.match(normal):
            beginnings.setdefault(normal)
        else:
            inner.setdefault(normal, token_id)
    spelled: dict[str, str] = {}
    for word in words:
        if (normal := whole(word)) is not None:
            beginnings.setdefault(normal)
            spelled.setdefault(normal, word)
    for phrase in phrases:
        normal = normalizer.normalize_str(phrase).strip()
        if normal and not normal.startswith(_CONTINUES):  # nothing visible, or what would be a piece within a word
            beginnings.setdefault(normal)
            spelled.setdefault(normal, phrase)
    _add_characters(teacher, beginnings, inner)
    texts = list(beginnings)
    if lowercase:
        usual = _usual_spellings(teacher, texts)
        # Accents and capitals that were given are meant: café, iPhone, C++.
        given = [spelled.get(token, token) for token in beginnings]
        texts = [own if own != token else text for token, own, text in zip(beginnings, given, usual, strict=True)]
    return [
        Entry(PADDING),
        Entry(UNKNOWN),
        *(Entry(token, text=text) for token, text in zip(beginnings, texts, strict=True)),
        *(Entry(f"{_CONTINUES}{text}", piece=token_id) for text, token_id in inner.items()),
    ]


def _add_characters(teacher: Tokenizer, beginnings: dict[str, None], inner: dict[str, int]) -> None:
    """Add each single letter and digit, so that a word of known letters is never unknown as a whole."""
    for character in sorted({c for text in (*beginnings, *inner) for c in text if _OF_WORDS.match(c)}):
        if character.isalnum():  # no mark stands alone
            beginnings.setdefault(character)
        ids = teacher.encode(character, add_special_tokens=False).ids
        if len(ids) == 1:
            inner.setdefault(character, ids[0])


def readable_tokens(tokenizer: Tokenizer, special: frozenset[str]) -> Iterator[tuple[int, str, bool]]:
    """Yield each ordinary token of a tokenizer: its id, its text, and whether it begins a word.

    Knows the three ways in which tokenizers mark this: WordPiece's ##, the space that byte-level BPE keeps, and the
    mark for a space of Unigram and SentencePiece BPE.
    """
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    is_wordpiece = isinstance(tokenizer.model, models.WordPiece)
    mark = "▁" if any(token.startswith("▁") for token, _ in tokens) else " "
    spelled = [token for token, _ in tokens]
    if mark == " " and not is_wordpiece:
        spelled = tokenizer.decode_batch([[token_id] for _, token_id in tokens], skip_special_tokens=False)
    for (token, token_id), written in zip(tokens, spelled, strict=True):
        if token in special:
            continue
        if is_wordpiece:
            text, begins = token.removeprefix(_CONTINUES), not token.startswith(_CONTINUES)
        else:
            text, begins = written.removeprefix(mark), written.startswith(mark)
        if text and text == text.strip() and "�" not in text:
            yield token_id, text, begins


def entry_groups(tokenizer: Tokenizer) -> npt.NDArray[np.int8]:
    """Return for each entry, int8 (entries,): 0 a word or its beginning, 1 a piece within a word, 2 a number or a mark.

    -1 are special tokens, whose rows are zero: padding is no text, and what is unknown says nothing.
    """
    added = tokenizer.get_added_tokens_decoder()
    special = frozenset(token.content for token in added.values() if token.special)
    groups = np.ones(tokenizer.get_vocab_size(), dtype=np.int8)
    for token in special:
        groups[tokenizer.token_to_id(token)] = -1
    for row, text, begins in readable_tokens(tokenizer, special):
        letters = text.replace(" ", "")
        groups[row] = 2 if not ALL_LETTERS.fullmatch(letters) else 0 if begins else 1
    return groups


def _usual_spellings(teacher: Tokenizer, words: Sequence[str]) -> list[str]:
    """Return each word in the case (lower, capitalised, capitals) of which the teacher makes the fewest tokens."""
    spellings = [words, [word.capitalize() for word in words], [word.upper() for word in words]]
    lengths = [
        [len(encoding.ids) for encoding in teacher.encode_batch([f" {word}" for word in s], add_special_tokens=False)]
        for s in spellings
    ]
    return [
        min(zip(counts, (0, 1, 2), forms, strict=True))[2]
        for counts, forms in zip(zip(*lengths, strict=True), zip(*spellings, strict=True), strict=True)
    ]


MAX_LENGTH = 512
"""Tokens of a text that count: model2vec's default, written into the tokenizer, so that every runtime agrees."""

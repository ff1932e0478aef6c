"""A vocabulary of words with its own WordPiece tokenizer, whatever the teacher's tokenizer is.

The teacher's pieces stay as a fallback: rare words are split into them, so that little is unknown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import regex
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

MAX_LENGTH = 512
"""Tokens of a text that count: model2vec's default, written into the tokenizer, so that every runtime agrees."""

UNKNOWN, PADDING = "[UNK]", "[PAD]"
_CONTINUES = "##"
_MAX_CHARACTERS = 100

_LETTERS = r"\p{L}[\p{L}\p{M}]*"
WORD = regex.compile(rf"{_LETTERS}(?:['’-]{_LETTERS})*")
"""A word in running text: letters with their marks (such as Hindi's vowels), apostrophes and hyphens within."""

_OF_WORDS = regex.compile(r"[\p{L}\p{M}\p{N}]")
ALL_LETTERS = regex.compile(r"[\p{L}\p{M}]+")

_ACCENTS = (
    r"[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670]+"
)
"""Marks that readers can do without: accents of Latin, Greek and Cyrillic letters, the points of Hebrew and Arabic; but
not vowels of Indic scripts, or what tells か from が. As code points, since runtimes name scripts differently."""


@dataclass(frozen=True)
class Entry:
    """One entry of the vocabulary, with its text for the teacher, or the teacher's id for a piece within a word."""

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
    split = tokenizer.pre_tokenizer.pre_tokenize_str
    kept_whole = [entry.token for entry in entries if entry.text is not None and len(split(entry.token)) > 1]
    tokenizer.add_tokens([AddedToken(token, single_word=True, normalized=True) for token in kept_whole])
    return tokenizer


def text_normalizer(lowercase: bool) -> normalizers.Normalizer:
    """Return the normalizer of the student's tokenizer."""
    cleaned = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=False)
    if not lowercase:
        return cleaned
    folded = [normalizers.NFD(), normalizers.Replace(Regex(_ACCENTS), ""), normalizers.NFC()]
    return normalizers.Sequence([cleaned, *folded])


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    # BERT's split leaves symbols such as emoji inside a word, and one unknown symbol makes the whole word unknown.
    symbols = pre_tokenizers.Split(Regex(r"[^\p{L}\p{N}\p{M}]"), behavior="isolated")
    return pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), symbols])


def word_entries(
    teacher: Tokenizer, words: Sequence[str], *, lowercase: bool, special: frozenset[str], phrases: Sequence[str] = ()
) -> list[Entry]:
    """Return the vocabulary: padding, unknown, the teacher's word beginnings, the words, then inner pieces.

    A word in several spellings counts once. The teacher reads it as given if that has capitals or accents, else in
    the case that its tokenizer splits into the fewest tokens, which is the usual one.

    Args:
        teacher: The teacher's tokenizer.
        words: Words to add, most frequent first.
        lowercase: Whether the student folds case and accents.
        special: Tokens of the teacher that are no text.
        phrases: Entries to keep whole although the student's tokenizer would split them.
    """
    normalizer, pre_tokenizer = text_normalizer(lowercase), _pre_tokenizer()

    def whole(text: str) -> str | None:
        """Return the normalised text if the student's tokenizer keeps it in one piece."""
        normal = normalizer.normalize_str(text).strip()  # it puts spaces around Chinese characters
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
    given: dict[str, str] = {}
    for word in words:
        if (normal := whole(word)) is not None:
            beginnings.setdefault(normal)
            given.setdefault(normal, word)
    for phrase in phrases:
        normal = normalizer.normalize_str(phrase).strip()
        if normal and not normal.startswith(_CONTINUES):  # else invisible, or a piece within a word
            beginnings.setdefault(normal)
            given.setdefault(normal, phrase)
    _add_characters(teacher, beginnings, inner)
    texts = list(beginnings)
    if lowercase:
        usual = _usual_spellings(teacher, texts)
        # Accents and capitals that were given are intended: café, iPhone.
        own = [given.get(token, token) for token in texts]
        texts = [text if form == token else form for token, form, text in zip(texts, own, usual, strict=True)]
    return [
        Entry(PADDING),
        Entry(UNKNOWN),
        *(Entry(token, text=text) for token, text in zip(beginnings, texts, strict=True)),
        *(Entry(f"{_CONTINUES}{text}", piece=token_id) for text, token_id in inner.items()),
    ]


def _add_characters(teacher: Tokenizer, beginnings: dict[str, None], inner: dict[str, int]) -> None:
    """Add each letter and digit, so that a word of known letters is never unknown."""
    for character in sorted({c for text in (*beginnings, *inner) for c in text if _OF_WORDS.match(c)}):
        if character.isalnum():  # a mark doesn't stand alone
            beginnings.setdefault(character)
        ids = teacher.encode(character, add_special_tokens=False).ids
        if len(ids) == 1:
            inner.setdefault(character, ids[0])


def readable_tokens(tokenizer: Tokenizer, special: frozenset[str]) -> Iterator[tuple[int, str, bool]]:
    """Yield each ordinary token of a tokenizer: its id, its text, and whether it begins a word.

    Tokenizers mark this in three ways: WordPiece by ##, byte-level BPE by the space that it keeps, Unigram and
    SentencePiece BPE by a mark for the space.
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
    """Return each entry's group, int8 (entries,): 0 (the beginning of) a word, 1 a piece within one, 2 number or mark.

    -1 is a special token, whose row is zero: padding and unknown say nothing about a text.
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
    """Return each word in the case (lower, capitalised, capitals) that the teacher splits into the fewest tokens."""
    spellings = [words, [word.capitalize() for word in words], [word.upper() for word in words]]
    lengths = []
    for forms in spellings:
        encodings = teacher.encode_batch([f" {form}" for form in forms], add_special_tokens=False)
        lengths.append([len(encoding.ids) for encoding in encodings])
    shortest = np.argmin(lengths, axis=0)  # the first of equal ones
    return [spellings[case][row] for row, case in enumerate(shortest)]

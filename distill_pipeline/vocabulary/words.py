"""A vocabulary of words with its own WordPiece tokenizer, whatever the teacher's tokenizer is.

The teacher's pieces stay as a fallback: rare words are split into them, so that little is unknown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import regex
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from distill_pipeline.vocabulary.spelling import (
    LONGEST_RUN,
    UNSPACED,
    Spelling,
    is_plain,
    pre_tokenizer,
    word_boundaries,
)

MAX_LENGTH = 512
"""Tokens of a text that count: model2vec's default, written into the tokenizer, so that every runtime agrees."""

UNKNOWN, PADDING = "[UNK]", "[PAD]"
_CONTINUES = "##"
_UNKNOWN_COUNTS = 1000
"""Tokens that an unknown one counts as where a word's usual spelling is looked for."""

_LETTERS = r"\p{L}[\p{L}\p{M}]*"
WORD = regex.compile(rf"{_LETTERS}(?:['’-]{_LETTERS})*")
"""A word in running text: letters with their marks (such as Hindi's vowels), apostrophes and hyphens within."""

_OF_WORDS = regex.compile(r"[\p{L}\p{M}\p{N}]")
ALL_LETTERS = regex.compile(r"[\p{L}\p{M}]+")
OF_UNSPACED = regex.compile(f"[{UNSPACED}]")


@dataclass(frozen=True)
class Entry:
    """One entry of the vocabulary.

    Attributes:
        token: As the student's tokenizer spells it.
        text: What the teacher reads for it, unless it's a piece within a word.
        piece: The teacher's id for a piece within a word, or for a text that the teacher knows in other letters alone.
    """

    token: str
    text: str | None = None
    piece: int | None = None


def inner_text(token: str) -> str:
    """Return an entry's text without the mark of a piece within a word."""
    return token.removeprefix(_CONTINUES)


def word_tokenizer(entries: Sequence[Entry], spelling: Spelling) -> Tokenizer:
    """Return a WordPiece tokenizer with one id per entry, in order.

    Entries of several words are found between whole words alone, those of scripts without spaces anywhere, the longest
    first.
    """
    vocabulary = {entry.token: row for row, entry in enumerate(entries)}
    longest = 2 * LONGEST_RUN  # with the marks that stay with its last letter
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=longest))
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.decoder = decoders.WordPiece()
    split = tokenizer.pre_tokenizer.pre_tokenize_str
    texts = [entry.token for entry in entries if entry.text is not None and not entry.token.startswith(_CONTINUES)]
    of_several_words = [token for token in texts if not OF_UNSPACED.search(token) and len(split(token)) > 1]
    unspaced = [token for token in texts if len(token) > 1 and OF_UNSPACED.search(token)]
    tokenizer.normalizer = spelling.normalizer()
    if of_several_words:
        tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer, word_boundaries()])
    tokenizer.add_special_tokens([PADDING, UNKNOWN])
    tokenizer.add_tokens([AddedToken(token, normalized=True) for token in (*of_several_words, *unspaced)])
    return tokenizer


def word_entries(
    teacher: Tokenizer,
    words: Sequence[str],
    spelling: Spelling,
    *,
    special: frozenset[str],
    unknown: int | None = None,
    phrases: Sequence[str] = (),
) -> list[Entry]:
    """Return the vocabulary: padding, unknown, the teacher's word beginnings, the words, then inner pieces.

    A word in several spellings counts once. The teacher reads it as given if that has capitals or accents, else in
    the case that its tokenizer splits into the fewest tokens, which is the usual one.

    Args:
        teacher: The teacher's tokenizer.
        words: Words to add, most frequent first.
        spelling: What the student folds.
        special: Tokens that are no text.
        unknown: The id that the teacher reads for what it doesn't know.
        phrases: Entries to keep whole although the student's tokenizer would split them.
    """
    normalizer = spelling.normalizer()
    whole = partial(_whole, normalizer, pre_tokenizer())
    beginnings: dict[str, None] = {}
    given: dict[str, str] = {}
    original: dict[str, str] = {}
    pieces: dict[str, int] = {}
    inner: dict[str, int | None] = {}
    for token_id, text, begins in readable_tokens(teacher, special):
        normal = whole(text)
        if normal is None:
            continue
        if begins or not _OF_WORDS.match(normal):
            beginnings.setdefault(normal)
            pieces.setdefault(normal, token_id)
            if normalize("NFKC", text) == normalize("NFC", text):
                original[normal] = normal
            else:
                original.setdefault(normal, text)  # a teacher of bytes may know it in this form alone
        else:
            inner.setdefault(normal, token_id)
    for word in words:
        normal = whole(word) or _of_unspaced_letters(normalizer.normalize_str(word))
        if normal is not None and word not in special:
            beginnings.setdefault(normal)
            given.setdefault(normal, word)
    for phrase in phrases:
        normal = normalizer.normalize_str(phrase).strip()
        # Without those that are invisible, or look like a piece within a word.
        if normal and not normal.startswith(_CONTINUES) and phrase not in special:
            beginnings.setdefault(normal)
            given.setdefault(normal, phrase)
    _add_characters(teacher, beginnings, inner)
    # Accents and capitals that were given are intended: café, iPhone.
    own = {**dict.fromkeys(beginnings), **original, **given}
    plain = list(beginnings)
    usual = _usual_spellings(teacher, plain, unknown) if spelling.lowercase else plain
    texts = [text if own[token] in {token, None} else own[token] for token, text in zip(plain, usual, strict=True)]
    return [
        Entry(PADDING),
        Entry(UNKNOWN),
        *(
            Entry(token, text, pieces.get(token, inner.get(token)))
            for token, text in zip(beginnings, texts, strict=True)
        ),
        *(
            Entry(f"{_CONTINUES}{text}", text=text if token_id is None else None, piece=token_id)
            for text, token_id in inner.items()
        ),
    ]


def _whole(normalizer: normalizers.Normalizer, splitter: pre_tokenizers.PreTokenizer, text: str) -> str | None:
    """Return the normalised text if the student's tokenizer keeps it in one piece."""
    if is_plain(text) and len(text) <= LONGEST_RUN:
        return text
    normal: str = normalizer.normalize_str(text)
    return normal if [part for part, _ in splitter.pre_tokenize_str(normal)] == [normal] else None


def _of_unspaced_letters(normal: str) -> str | None:
    return normal if OF_UNSPACED.search(normal) and ALL_LETTERS.fullmatch(normal) else None


def _add_characters(teacher: Tokenizer, beginnings: dict[str, None], inner: dict[str, int | None]) -> None:
    """Add each letter and digit, so that a word of known letters is never unknown."""
    for character in sorted(filter(_OF_WORDS.match, set().union(*beginnings, *inner))):
        # A mark stands alone only where an entry of a script without spaces ends before it.
        if character.isalnum() or OF_UNSPACED.match(character):
            beginnings.setdefault(character)
        ids = teacher.encode(character, add_special_tokens=False).ids
        inner.setdefault(character, ids[0] if len(ids) == 1 else None)


def readable_tokens(tokenizer: Tokenizer, special: frozenset[str]) -> Iterator[tuple[int, str, bool]]:
    """Yield each ordinary token of a tokenizer: its id, its text, and whether it begins a word.

    Tokenizers mark this in four ways: WordPiece by ##, byte-level BPE by the space that it keeps, Unigram and
    SentencePiece BPE by a mark for the space, CLIP's BPE by a suffix at the end of words: tokens with it may be words.
    """
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    is_wordpiece = isinstance(tokenizer.model, models.WordPiece)
    mark = "▁" if any(token.startswith("▁") for token, _ in tokens) else " "
    end_of_word = getattr(tokenizer.model, "end_of_word_suffix", None)
    spelled = [token for token, _ in tokens]
    if mark == " " and not is_wordpiece:
        spelled = tokenizer.decode_batch([[token_id] for _, token_id in tokens], skip_special_tokens=False)
    for (token, token_id), written in zip(tokens, spelled, strict=True):
        if token in special:
            continue
        if end_of_word:
            text, begins = written.removesuffix(end_of_word).strip(), token.endswith(end_of_word)
        elif is_wordpiece:
            text, begins = token.removeprefix(_CONTINUES), not token.startswith(_CONTINUES)
        else:
            text, begins = written.removeprefix(mark), written.startswith(mark)
        if text and text == text.strip() and "�" not in text:
            yield token_id, text, begins


@lru_cache(maxsize=2)  # the stages of a recipe, and the recipes of a sweep, ask for the same ones in turn
def entry_groups(tokenizer: Tokenizer) -> npt.NDArray[np.int8]:
    """Return each entry's group, int8 (entries,): 0 (the beginning of) a word, 1 a piece within one, 2 number or mark.

    Read-only. -1 is a special token, whose row is zero: padding and unknown say nothing about a text.
    """
    added = tokenizer.get_added_tokens_decoder()
    special = frozenset(token.content for token in added.values() if token.special)
    groups = np.ones(tokenizer.get_vocab_size(), dtype=np.int8)
    for token in special:
        groups[tokenizer.token_to_id(token)] = -1
    for row, text, begins in readable_tokens(tokenizer, special):
        letters = text.replace(" ", "")
        groups[row] = 2 if not ALL_LETTERS.fullmatch(letters) else 0 if begins else 1
    groups.flags.writeable = False
    return groups


def _usual_spellings(teacher: Tokenizer, words: Sequence[str], unknown: int | None) -> list[str]:
    """Return each word in the case (lower, capitalised, capitals) that the teacher splits into the fewest tokens."""
    spellings = [words, [word.capitalize() for word in words], [word.upper() for word in words]]
    folds_case = teacher.normalizer is not None and teacher.normalizer.normalize_str("A") == "a"
    added = [token.content for token in teacher.get_added_tokens_decoder().values() if not token.special]
    folds_case &= all(content == content.lower() for content in added)  # it may look for them before it folds

    def read(form: str) -> str:  # what the teacher makes of it, if that is known without asking
        return form.lower() if folds_case and form.isascii() else form

    texts = list(dict.fromkeys(read(form) for forms in spellings for form in forms))
    encodings = teacher.encode_batch_fast([f" {text}" for text in texts], add_special_tokens=False)
    tokens = (encoding.ids for encoding in encodings)
    length = dict(zip(texts, (len(ids) + _UNKNOWN_COUNTS * ids.count(unknown) for ids in tokens), strict=True))
    shortest = np.argmin([[length[read(form)] for form in forms] for forms in spellings], axis=0)  # the first of equals
    return [spellings[case][row] for row, case in enumerate(shortest)]

"""How often words, and a tokenizer's entries, occur in text: from `wordfreq`, or counted in a corpus."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from distill_pipeline.recipe.languages import listed_language
from distill_pipeline.vocabulary.words import OF_UNSPACED, WORD

# What wordfreq leaves out. Counted for this project over 7.6 million tokens of public English text (Brown,
# MASC, UD English, WikiSplit, broadcast news, speeches, web text, novels): share of all tokens.
PUNCTUATION = {
    ",": 0.0524, ".": 0.0424, "-": 0.0130, "'": 0.0118, '"': 0.0110, ":": 0.0043, ";": 0.0040, ")": 0.0035,
    "(": 0.0034, "?": 0.0030, "!": 0.0024, "`": 0.0012, "/": 0.0011, "*": 0.0008, "#": 0.0006, "$": 0.0005,
    "[": 0.0005, "]": 0.0005, "’": 0.0004, "&": 0.0003, "%": 0.0003, "=": 0.0002, "”": 0.0002, "“": 0.0002,
    "@": 0.0002, ">": 0.0002, "—": 0.0001, "+": 0.0001, "<": 0.0001, "–": 0.0001, "_": 0.0001,
}  # fmt: skip
NUMBERS_BY_DIGITS = {1: 0.0035, 2: 0.0040, 3: 0.0017, 4: 0.0038, 5: 0.0001, 6: 0.0001}
WORDS_SHARE = 0.827
CAPITALISED, UPPER_CASE, WITHOUT_SPACE = 0.144, 0.007, 0.066
"""Shares of all words that start with a capital, are all capitals, or follow no space; counted as above."""

_MAX_WORDS = 320_000
_COUNTED, _COUNTED_IN_ALL_FORMS = 100_000, 20_000
"""Words that are tokenised, and those in every form: 99.3 and 95.9 % of the words of English text."""

_MIN_PROBABILITY = 1e-6
"""Times the number of entries: for entries that occur in nothing that was counted."""

_TEXTS_AT_ONCE = 20_000


@dataclass(frozen=True)
class WordList:
    """A language's words, most frequent first, and their shares among all words, float64, summing to 1.

    `unspaced` is the share of the letters counted that is of scripts without spaces, in which no words were counted.
    """

    words: tuple[str, ...]
    shares: npt.NDArray[np.float64]
    unspaced: float = 0.0

    @cached_property
    def alphabetic(self) -> list[int]:
        """Indices of words without digits and full stops, which wordfreq's numbers and abbreviations have."""
        return [index for index, word in enumerate(self.words) if WORD.fullmatch(word)]


@lru_cache(maxsize=4)
def word_list(language: str) -> WordList:
    """Return a language's words from `wordfreq` (Speer 2022), most frequent first; none of a language it lacks."""
    import wordfreq

    listed = listed_language(language)
    # Words of one frequency each, the frequencies falling.
    alike = wordfreq.get_frequency_list(listed, wordlist="best") if listed else []
    words = [word for bucket in alike for word in sorted(bucket)][:_MAX_WORDS]
    frequencies = [wordfreq.cB_to_freq(-number) for number in range(len(alike))]
    shares = np.repeat(np.array(frequencies, dtype=np.float64), [len(bucket) for bucket in alike])[:_MAX_WORDS]
    return WordList(tuple(words), shares / shares.sum())


def count_words(texts: Sequence[str]) -> WordList:
    """Return the words of texts, most frequent first, each in its most frequent spelling.

    Spellings that differ in case alone are one word: a name keeps its capital, the first word of a sentence loses it.
    In scripts without spaces between words there are none to count, but whole clauses.
    """
    found = Counter(match.group() for text in texts for match in WORD.finditer(text))
    counts = {word: count for word, count in found.items() if not OF_UNSPACED.search(word)}
    letters, spaced = (sum(len(word) * count for word, count in words.items()) for words in (found, counts))
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for spelling in counts:
        spellings[spelling.lower()].append(spelling)
    totals = {
        min(alike, key=lambda spelling: (-counts[spelling], spelling)): sum(counts[spelling] for spelling in alike)
        for alike in spellings.values()
    }
    words = sorted(totals, key=lambda word: (-totals[word], word))
    shares = np.array([totals[word] for word in words], dtype=np.float64)
    return WordList(tuple(words), shares / shares.sum(), 1 - spaced / max(letters, 1))


def counted_probabilities(tokenizer: Tokenizer, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return each entry's share of the tokens of texts, float64 (entries,), sum 1; small if no text has it."""
    counts = np.zeros(tokenizer.get_vocab_size())
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        block = texts[first : first + _TEXTS_AT_ONCE]
        _count(tokenizer, block, np.ones(len(block)), counts)
    return _shares_of(counts)


def token_probabilities(tokenizer: Tokenizer, words: WordList) -> npt.NDArray[np.float64]:
    """Estimate each entry's share of all tokens by tokenising a word list, numbers and punctuation.

    Words are counted as they stand in text: after a space or not, in lower case, capitalised or in capitals, each
    with its measured share. Entries in none of these get a small probability. Returns float64 (entries,), sum 1.
    """
    counts = np.zeros(tokenizer.get_vocab_size())
    plain = 1 - CAPITALISED - UPPER_CASE
    counted, head = words.words[:_COUNTED], words.words[:_COUNTED_IN_ALL_FORMS]
    forms: list[tuple[Sequence[str], npt.NDArray[np.float64]]] = [
        ([f" {word}" for word in counted], words.shares[: len(counted)] * plain * (1 - WITHOUT_SPACE)),
        (head, words.shares[: len(head)] * plain * WITHOUT_SPACE),
        ([f" {word.capitalize()}" for word in head], words.shares[: len(head)] * CAPITALISED * (1 - WITHOUT_SPACE)),
        ([word.capitalize() for word in head], words.shares[: len(head)] * CAPITALISED * WITHOUT_SPACE),
        ([f" {word.upper()}" for word in head], words.shares[: len(head)] * UPPER_CASE),
    ]
    for texts, shares in forms:
        _count(tokenizer, texts, shares * WORDS_SHARE, counts)
    _count(tokenizer, list(PUNCTUATION), np.array(list(PUNCTUATION.values())), counts)
    for digits, share in NUMBERS_BY_DIGITS.items():
        low, high = (0, 10) if digits == 1 else (10 ** (digits - 1), 10**digits)
        numbers = [f" {number}" for number in range(low, high, max(1, (high - low) // 500))]
        _count(tokenizer, numbers, np.full(len(numbers), share / len(numbers)), counts)
    return _shares_of(counts)


def _shares_of(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    counts = np.maximum(counts, _MIN_PROBABILITY * counts.sum() / len(counts))
    probabilities: npt.NDArray[np.float64] = counts / counts.sum()
    return probabilities


def _count(
    tokenizer: Tokenizer, texts: Sequence[str], shares: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]
) -> None:
    """Add each text's share to the count of each of its tokens."""
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    lengths = np.array([len(encoding.ids) for encoding in encodings])
    ids = np.fromiter((token for encoding in encodings for token in encoding.ids), dtype=np.int64, count=lengths.sum())
    np.add.at(counts, ids, np.repeat(shares, lengths))


def zipf_probabilities(rows: int) -> npt.NDArray[np.float64]:
    """Return probabilities by Zipf's law with the row as rank, float64 (rows,), sum 1: p(row) ~ 1 / (row + 2).

    The offset is model2vec's, so that weights agree with `model2vec.distill`.
    """
    inverse_rank = 1 / np.arange(2, rows + 2, dtype=np.float64)
    probabilities: npt.NDArray[np.float64] = inverse_rank / inverse_rank.sum()
    return probabilities


def entry_probabilities(
    tokenizer: Tokenizer, language: str, passages: Sequence[str] = ()
) -> tuple[npt.NDArray[np.float64], str]:
    """Return the entries' probabilities and where they come from: the passages if given, `wordfreq`, or Zipf's law.

    Zipf's law is for languages that wordfreq lacks, and for tokenizers of another language: if more than half of the
    language's thousand most frequent words take more than two entries.
    """
    if passages:
        return counted_probabilities(tokenizer, passages), f"the corpus: {len(passages):,} passages"
    words = word_list(language)
    if not words.words:
        source = f"zipf: wordfreq has no words for language {language!r}"
    elif _fit(tokenizer, words) < 0.5:
        source = f"zipf: the tokenizer splits most of the frequent words of language {language!r}"
    else:
        return token_probabilities(tokenizer, words), f"wordfreq: {listed_language(language)}"
    return zipf_probabilities(tokenizer.get_vocab_size()), source


def _fit(tokenizer: Tokenizer, words: WordList) -> float:
    """Return the share of the thousand most frequent words that take at most two entries."""
    frequent = [f" {word}" for word in words.words[:1000]]
    encodings = tokenizer.encode_batch_fast(frequent, add_special_tokens=False)
    special = {token_id for token_id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return float(np.mean([0 < len(e.ids) <= 2 and special.isdisjoint(e.ids) for e in encodings]))

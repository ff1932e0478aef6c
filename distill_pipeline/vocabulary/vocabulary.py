"""The student's vocabulary: its entries, what the teacher reads for each, and the student's tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from distill_pipeline.store.disk import Stamp, stamps
from distill_pipeline.teacher.tokenizer import UNUSED, TeacherTokenizer
from distill_pipeline.vocabulary.frequencies import WordList, count_words, entry_probabilities, word_list
from distill_pipeline.vocabulary.limit import most_frequent
from distill_pipeline.vocabulary.phrases import frequent_phrases
from distill_pipeline.vocabulary.spelling import MERGED_AT_MOST, Spelling, merged_by_accents
from distill_pipeline.vocabulary.words import PADDING, UNKNOWN, Entry, word_entries, word_tokenizer

VOCABULARY, TOKENIZER = "vocabulary.parquet", "tokenizer.json"

SCHEMA = pa.schema(
    [("row", pa.int32()), ("token", pa.string()), ("teacher_ids", pa.list_(pa.int32())), ("frequency", pa.float64())]
)

_MEASURED = 20_000
"""Words at least, by which it is measured what folding accents merges: 96 % of the words of English text."""


_WORTH_SAYING = 0.01
"""Share of a corpus's letters in which no words were counted."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The student's vocabulary in row order.

    Attributes:
        tokens: One entry per row, as the student's tokenizer spells it.
        teacher_ids: What the teacher reads for each entry, including its special tokens and the prompt.
        frequencies: Estimated share of each entry among all tokens of text, float64 (rows,); sums to 1.
        frequency_source: wordfreq, a corpus, or Zipf's law and why.
        tokenizer: The student's tokenizer; entry `i` has id `i`.
        accents: Whether accents are folded, and how many words share an entry by that; empty if it makes no difference.
        notes: What the recipe's author should know of words that got no entry.
    """

    tokens: list[str]
    teacher_ids: list[list[int]]
    frequencies: npt.NDArray[np.float64]
    frequency_source: str
    tokenizer: Tokenizer
    accents: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TeacherEntries:
    """A vocabulary of the teacher's tokens without frequencies; the fields are those of `Vocabulary`."""

    tokens: list[str]
    teacher_ids: list[list[int]]
    tokenizer: Tokenizer


def build_vocabulary(
    teacher_folder: Path,
    *,
    words: Sequence[str] = (),
    prompt: str | None = None,
    language: str = "en",
    passages: Sequence[str] = (),
) -> Vocabulary:
    """Return `teacher_entries` with their frequencies: the language's, or counted in passages if given."""
    entries = teacher_entries(teacher_folder, words=words, prompt=prompt)
    frequencies, source = entry_probabilities(entries.tokenizer, language, passages)
    return Vocabulary(entries.tokens, entries.teacher_ids, frequencies, source, entries.tokenizer)


def teacher_entries(teacher_folder: Path, *, words: Sequence[str] = (), prompt: str | None = None) -> TeacherEntries:
    """Return the teacher's tokens, except unused ones, and the words in addition.

    The teacher reads an added word as text after a space, as within a sentence. Its spelling in the vocabulary
    wouldn't do: a byte-level BPE teacher would read the text "Ġpineapple" for pineapple.

    The tokenizer is changed by model2vec's own functions (`model2vec.tokenizer`, on skeletoken), so that a student
    has the same rows as from `model2vec.distill`.
    """
    from model2vec.tokenizer import clean_and_create_vocabulary

    teacher = TeacherTokenizer(teacher_folder, prompt)
    pruned = teacher.model.prune_added_tokens()
    student = pruned.deep_copy()
    if student.adds_prefix_space is not None:
        student.adds_prefix_space = True
    student = clean_and_create_vocabulary(student, list(words), token_remove_regex=UNUSED)
    tokens: list[str] = student.sorted_vocabulary

    to_full = pruned.model_delta.token_mapping  # new id -> the teacher's id
    known = {token: to_full.get(new, new) for token, new in pruned.vocabulary.items()}
    added = {student.vocabulary[key]: word for word in words if (key := _entry_of(student, word)) is not None}
    tokenizer = student.to_tokenizer()
    teacher_ids = []
    for row, token in enumerate(tokens):
        if token in known:
            teacher_ids.append(teacher.framed([known[token]]))
        else:
            # An entry between a word and the teacher's pieces of it is read as its text.
            text = tokenizer.decode([row], skip_special_tokens=False).replace("�", "").strip()
            teacher_ids += teacher.read([added.get(row, text)], after_space=True)
    return TeacherEntries(tokens, teacher_ids, tokenizer)


def build_word_vocabulary(
    teacher_folder: Path,
    *,
    count: int,
    max_entries: int | None = None,
    words: Sequence[str] = (),
    phrases: int = 0,
    lowercase: bool = True,
    prompt: str | None = None,
    language: str = "en",
    passages: Sequence[str] = (),
    words_from_passages: bool = False,
    folder: Path | None = None,
) -> Vocabulary:
    """Return a language's most frequent words, your own words and the teacher's pieces, with their own tokenizer.

    Args:
        teacher_folder: The teacher's files.
        count: Number of the language's words.
        max_entries: Of more, the rarest go (see `most_frequent`).
        words: Your own words and phrases.
        phrases: Number of phrases of the passages.
        lowercase: Whether to fold case, and accents where they tell few words apart.
        prompt: What the teacher reads before each entry.
        language: Of the words and frequencies; one that wordfreq lacks has no words.
        passages: A corpus.
        words_from_passages: Whether to take words and frequencies from the passages.
        folder: For a nameless file with all pairs of words of the passages.

    Raises:
        RecipeError: `max_entries` is less than what always stays.
    """
    teacher = TeacherTokenizer(teacher_folder, prompt)
    listed = count_words(passages) if words_from_passages else word_list(language)
    spelling = Spelling.fit_for(teacher.tokenizer, lowercase=lowercase, unknown=teacher.unknown)
    spelling, accents = _fold_accents(spelling, listed, count)
    notes = []
    if not listed.words and not words_from_passages:
        notes.append(f"wordfreq has no words of {language!r} in its script: words_from=corpus takes them from texts")
    of_corpus = frequent_phrases(passages, phrases, spelling, folder) if phrases else {}
    wanted = word_entries(
        teacher.tokenizer,
        [*words, *listed.words[:count]],
        spelling,
        special=teacher.special | {PADDING, UNKNOWN},
        unknown=teacher.unknown,
        phrases=[*words, *of_corpus],
    )
    read = _read(teacher, wanted)
    entries = [entry for entry in wanted if entry.token in {PADDING, UNKNOWN} or teacher.knows(read[entry.token])]
    unknown = read.keys() - {entry.token for entry in entries}

    def measured(entries: Sequence[Entry]) -> tuple[Tokenizer, npt.NDArray[np.float64], str]:
        tokenizer = word_tokenizer(entries, spelling)
        frequencies, source = entry_probabilities(tokenizer, language, passages if words_from_passages else ())
        if of_corpus and not words_from_passages:  # word lists have no phrases
            frequencies = np.array([of_corpus.get(e.token, p) for e, p in zip(entries, frequencies, strict=True)])
            frequencies /= frequencies.sum()
        return tokenizer, frequencies, source

    if max_entries is not None:
        normalizer = spelling.normalizer()
        own = frozenset(normalizer.normalize_str(word).strip() for word in words)
        entries = most_frequent(entries, max_entries, own, lambda some: measured(some)[1])
    tokenizer, frequencies, source = measured(entries)
    tokens = [entry.token for entry in entries]
    notes += _left_out([entry.token for entry in wanted if entry.token in unknown])
    notes += _without_entry(words, spelling, frozenset(tokens) - {PADDING, UNKNOWN})
    if listed.unspaced >= _WORTH_SAYING:
        notes.append(
            f"{listed.unspaced:.0%} of the corpus's letters are of scripts without spaces between words, in which no "
            "words were counted: give some as `words`"
        )
    return Vocabulary(tokens, [read[token] for token in tokens], frequencies, source, tokenizer, accents, tuple(notes))


def _read(teacher: TeacherTokenizer, entries: Sequence[Entry]) -> dict[str, list[int]]:
    """Return the ids that the teacher reads for each entry's token."""
    texts = [entry.text for entry in entries if entry.text is not None]
    words, others = ([text for text in texts if text[0].isalnum() == starts] for starts in (True, False))
    ids = dict(zip([*words, *others], [*teacher.read(words, after_space=True), *teacher.read(others)], strict=True))

    def of(entry: Entry) -> list[int]:
        if entry.text is not None and (entry.piece is None or teacher.knows(ids[entry.text])):
            return ids[entry.text]
        return teacher.framed([] if entry.piece is None else [entry.piece])

    return {entry.token: of(entry) for entry in entries}


def _fold_accents(spelling: Spelling, listed: WordList, count: int) -> tuple[Spelling, str]:
    """Return the spelling, which folds accents if they tell few of the words apart, and what it merges."""
    if not spelling.lowercase or not listed.words:
        return spelling, ""
    folding = replace(spelling, accents=True)
    merged = np.array(merged_by_accents(listed.words[: max(count, _MEASURED)], folding), dtype=np.int64)
    share = listed.shares[merged].sum()
    if not spelling.every_mark and share > MERGED_AT_MOST:
        return spelling, f"accents are kept: they tell apart words of {share:.1%} of running text"
    among = int((merged < count).sum())
    whose = ", as the teacher's tokenizer does" if spelling.every_mark else ""
    note = f"accents are folded{whose}: {among:,} words share an entry with a word of other accents"
    return folding, note if among else ""


def _left_out(unknown: Sequence[str]) -> list[str]:
    if not unknown:
        return []
    return [f"{len(unknown):,} entries left out, of which the teacher's tokenizer knows nothing: {_some(unknown)}"]


def _without_entry(words: Sequence[str], spelling: Spelling, tokens: frozenset[str]) -> list[str]:
    normalizer = spelling.normalizer()
    missing = [word for word in words if normalizer.normalize_str(word).strip() not in tokens]
    if not missing:
        return []
    return [f"no entries: your words {_some(missing)}; they are special tokens, or the teacher can't read them"]


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:10]) + (", ..." if len(words) > 10 else "")


def _entry_of(student: Any, word: str) -> str | None:
    """Return the entry of an added word in the student's vocabulary, or None if it got none."""
    preprocessor = student.preprocessor
    pieces = preprocessor.preprocess(word, had_initial_subword_prefix=True)
    candidates = [*pieces, word.strip()] if len(pieces) == 1 else [word.strip()]
    if preprocessor.normalizer:
        candidates.append(preprocessor.normalizer.normalize_str(word).strip())
    return next((entry for entry in candidates if entry in student.vocabulary), None)


def write_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Write the entries and the tokenizer."""
    table = pa.table(
        {
            "row": np.arange(len(vocabulary.tokens), dtype=np.int32),
            "token": vocabulary.tokens,
            "teacher_ids": vocabulary.teacher_ids,
            "frequency": vocabulary.frequencies,
        },
        schema=SCHEMA.with_metadata({"frequency_source": vocabulary.frequency_source, "accents": vocabulary.accents}),
    )
    pq.write_table(table, folder / VOCABULARY)
    vocabulary.tokenizer.save(str(folder / TOKENIZER), pretty=False)


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read what `write_vocabulary` wrote; the same object again while the files are unchanged.

    Several stages of a recipe, and all recipes of a sweep, ask for one vocabulary. They share its tokenizer too, so
    set its truncation before encoding with it.
    """
    return _read_files(stamps([folder / VOCABULARY, folder / TOKENIZER]))


@lru_cache(maxsize=1)
def _read_files(files: tuple[Stamp, ...]) -> Vocabulary:
    table_file, tokenizer_file = (file.path for file in files)
    table = pq.read_table(table_file)
    metadata = table.schema.metadata
    return Vocabulary(
        table["token"].to_pylist(),
        table["teacher_ids"].to_pylist(),
        table["frequency"].to_numpy(),
        metadata[b"frequency_source"].decode(),
        Tokenizer.from_file(str(tokenizer_file)),
        metadata[b"accents"].decode(),
    )

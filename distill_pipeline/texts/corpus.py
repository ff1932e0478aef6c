"""Texts of a corpus: read as a stream, cut into passages, sampled reproducibly, each once."""

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import regex

from distill_pipeline.errors import DistillError, install_hint
from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.texts.files import TextFileError, read_text_file, text_of
from distill_pipeline.texts.sampled import MappedTexts, smallest
from distill_pipeline.vocabulary.spelling import UNSPACED

_SENTENCE_END = regex.compile(r"(?<=[.!?])(?=\s)|(?<=[。！？])")
_WORD = regex.compile(rf"\s*(?:[{UNSPACED}]{{1,2}}|[^\s{UNSPACED}]+)")
"""A word with the space before it; in scripts without spaces, two characters count as a word."""

MIN_WORDS, MAX_WORDS = 3, 64
"""Of a passage: shorter ones say little; longer ones are cut between sentences, or after that many words."""


_HELD_OUT = 50


class CorpusError(DistillError):
    """A corpus that can't be read; the message says which part and what to do."""


def sample_passages(sources: Sequence[str], count: int, *, seed: int, folder: Path | None = None) -> MappedTexts:
    """Return `count` different passages, or all there are, in an order that depends on seed and content alone.

    None is held out (see `is_held_out`). Taken are the passages with the smallest hashes of seed and text, so the
    order of files doesn't matter, and nothing is taken twice. They lie in a nameless file in the folder. `sources` are
    as in a recipe's `corpus`.

    Raises:
        CorpusError: A source doesn't exist, has no such column, or none has a passage.
    """
    fitted = (passage for passage in _passages(sources) if not is_held_out(passage))
    sample = smallest(((_hash(f"{seed}\0{passage}"), passage) for passage in fitted), count, folder)
    if not sample:
        raise CorpusError(f"corpus={', '.join(sources)}: no passage of {MIN_WORDS} words or more is in it")
    return sample


def is_held_out(passage: str) -> bool:
    """Whether reports compare on this passage of a corpus, so that no recipe reads it: one in fifty, by its hash."""
    return _hash(f"held out\0{passage}") % _HELD_OUT == 0


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def held_out_passages(sources: Sequence[str], count: int) -> list[str]:
    """Return the first `count` different held-out passages of a corpus, or all there are. Raises `CorpusError`."""
    found: dict[str, None] = {}
    for passage in filter(is_held_out, _passages(sources)):
        found[passage] = None
        if len(found) == count:
            break
    return list(found)


def recipe_passages(recipe: Recipe, folder: Path | None = None) -> MappedTexts:
    """Return the passages that a recipe samples from its corpus, in a nameless file in the folder."""
    return sample_passages(recipe.corpus, recipe.corpus_texts, seed=recipe.seed, folder=folder)


def _passages(sources: Sequence[str]) -> Iterator[str]:
    for source in sources:
        yield from cut_passages(read_texts(source))


def cut_passages(texts: Iterator[str]) -> Iterator[str]:
    """Cut texts into passages of 3 to 64 words with single spaces."""
    for text in texts:
        current: list[str] = []
        for sentence in _SENTENCE_END.split(text):
            words = _words_of(sentence)
            if current and len(current) + len(words) > MAX_WORDS:
                yield from _pieces(current)
                current = []
            current += words
        yield from _pieces(current)


def _words_of(sentence: str) -> list[str]:
    """Return the words, each with the space before it, if any."""
    if sentence.isascii():  # the same, in a quarter of the time
        return [f" {word}" for word in sentence.split()]
    words: list[str] = _WORD.findall(sentence)
    return words


def _pieces(words: list[str]) -> Iterator[str]:
    for first in range(0, len(words), MAX_WORDS):
        piece = words[first : first + MAX_WORDS]
        if len(piece) >= MIN_WORDS:
            yield " ".join("".join(piece).split())


def read_texts(source: str) -> Iterator[str]:
    """Yield the texts of one source: lines of files, or a column of files or a data set. Raises `CorpusError`."""
    data_set = Dataset.parse(source)
    if data_set is not None:
        yield from _read_data_set(data_set)
        return
    paths, column = source_files(source)
    with explaining_corpus():
        for path in paths:
            yield from read_text_file(path, column)


@contextmanager
def explaining_corpus() -> Iterator[None]:
    """Turn an error about a file into a `CorpusError`."""
    try:
        yield
    except TextFileError as error:
        raise CorpusError(f"corpus={error}") from error


def source_files(source: str) -> tuple[list[Path], str]:
    """Return a source's files, sorted, and their column, empty if it names none; no files for a data set of the Hub.

    A file of exactly the source's name comes first; then `#` begins a column, and `*`, `?` and `[` are a pattern's,
    but for those in the name of a folder that exists.

    Raises:
        CorpusError: There are no such files.
    """
    data_set = Dataset.parse(source)
    if data_set is not None:
        if data_set.folder is None:
            return [], ""
        paths = sorted(path for path in data_set.folder.rglob("*") if path.is_file())
        if not paths:
            raise CorpusError(f"corpus={source}: there is no such folder, or no file in it")
        return paths, "" if data_set.column == "text" else data_set.column
    if paths := _matching(source):
        return paths, ""
    name, mark, column = source.rpartition("#")
    if mark and (paths := _matching(name)):
        return paths, column
    raise CorpusError(f"corpus={name if mark else source}: there is no such file, and the pattern matches none")


def _matching(pattern: str) -> list[Path]:
    """Return the files that a name or a pattern means, sorted."""
    path = Path(pattern)
    if path.is_file():
        return [path]
    if not path.name:  # the root
        return []
    folder = next((parent for parent in path.parents if parent.is_dir()), Path())
    relative = re.sub(r"(^|/)\*\*$", r"\1**/*", str(path.relative_to(folder)))
    above, deep, below = relative.partition("**/")
    if deep and not above.rpartition("/")[2]:
        tops = glob.glob(above, root_dir=folder) if above else [""]  # noqa: PTH207
        return sorted(
            {path for top in tops for each in _folders(folder / top) for path in _matching(f"{each}/{below}")}
        )
    found = glob.glob(relative, root_dir=folder)  # noqa: PTH207
    return sorted(folder / name for name in found if (folder / name).is_file())


def _folders(top: Path) -> Iterator[str]:
    """Yield a folder and those below it, each once though links lead there: glob would go round in circles."""
    seen = set()
    for folder, names, _ in os.walk(top, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116 -- as `os.walk` names it
        names[:] = [] if (status.st_dev, status.st_ino) in seen else [name for name in names if name[0] != "."]
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            yield folder


def _read_data_set(data_set: Dataset) -> Iterator[str]:
    try:
        import datasets
    except ImportError as error:
        raise CorpusError(f"corpus={data_set} needs the library datasets: {install_hint('datasets')}") from error
    try:
        records = datasets.load_dataset(
            str(data_set.folder or data_set.name),
            data_set.config or None,
            split=data_set.split,
            streaming=True,
            revision=data_set.revision or None,
        )
        for record in records:
            if data_set.column not in record:
                raise CorpusError(f"corpus={data_set}: no column {data_set.column!r}; it has {', '.join(record)}")
            with explaining_corpus():
                yield text_of(record[data_set.column], f"{data_set}: column {data_set.column!r}")
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise CorpusError(f"corpus={data_set} can't be read: {error}") from error

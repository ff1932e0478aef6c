"""Files of texts, read as a stream: lines, JSON lines, and columns of CSV, TSV and Parquet, compressed or not."""

import io
import json
import lzma
import math
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from distill_pipeline.errors import DistillError

MAX_LINE = 1 << 24
"""Characters of a line, or bytes of a CSV row: what is longer is no text, and would fill the memory."""

_COLUMN = "text"
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".xz": "xz"}
_KINDS = {"jsonl": "json", "ndjson": "json", "json": "json", "csv": "csv", "tsv": "tsv", "parquet": "parquet"}


class TextFileError(DistillError):
    """A file whose texts can't be read; the message begins with the file and says what to do."""


def kind_of(path: Path) -> str:
    """Return json, csv, tsv, parquet, or lines, by the endings of a file's name."""
    name = path.name.lower()
    for suffix in _CODECS:
        name = name.removesuffix(suffix)
    return _KINDS.get(name.rpartition(".")[2], "lines")


def has_columns(path: Path) -> bool:
    """Whether a file of this name has columns, not lines."""
    return kind_of(path) != "lines"


def read_text_file(path: Path, column: str = "") -> Iterator[str]:
    """Yield a file's texts in order, including empty ones, with at most a batch of them in memory.

    Args:
        path: `.parquet`; `.csv`; `.tsv`, without quoting; `.jsonl`, `.ndjson` or `.json`, one object a line; anything
            else has one text a line. All but Parquet also with `.gz`, `.bz2`, `.zst` or `.xz` after it.
        column: The texts' column, or their key in an object; `text` when empty.

    Raises:
        TextFileError: The file doesn't exist, isn't what its name says, isn't UTF-8, has no such column, holds other
            values than text there, or a line of more than `MAX_LINE` characters.
    """
    kind = kind_of(path)
    if not path.exists():
        raise TextFileError(f"{path}: there is no such file")
    if column and kind == "lines":
        raise TextFileError(f"{path}: it has lines and no columns; leave out the column {column!r}")
    with explaining_file(path):
        if kind == "parquet":
            yield from _read_parquet(path, column or _COLUMN)
            return
        with opened(path) as file:
            if kind == "lines":
                yield from read_lines(file, str(path))
            elif kind == "json":
                yield from _read_json_lines(file, column or _COLUMN, path)
            else:
                yield from _read_delimited(file, column or _COLUMN, path)


def check_text_file(path: Path, column: str = "", texts: int = 1000) -> None:
    """Read a file's first texts, to know before any work whether it can be read. Raises `TextFileError`."""
    deque(islice(read_text_file(path, column), texts), maxlen=0)


def read_words(words: Path | Sequence[str]) -> list[str]:
    """Return the words of a recipe's `words`: a file's texts, or the list itself. Raises `TextFileError`."""
    found = read_text_file(words) if isinstance(words, Path) else words
    return [word.strip() for word in found if word.strip()]


def read_lines(file: Any, name: str) -> Iterator[str]:
    """Yield the lines of a binary file in UTF-8, with a byte order mark or without, each without its line break.

    Raises:
        TextFileError: A line is too long, or the first one is no text; begins with `name`.
        UnicodeDecodeError: It isn't UTF-8.
    """
    lines = io.TextIOWrapper(file, encoding="utf-8-sig")
    try:
        for number, line in enumerate(iter(partial(lines.readline, MAX_LINE + 1), ""), start=1):
            if number == 1 and "\0" in line:
                raise TextFileError(f"{name}: it is binary, or text in UTF-16; convert it to UTF-8 text first")
            if len(line) > MAX_LINE:
                raise TextFileError(f"{name}:{number}: a line of more than {MAX_LINE:,} characters; use one per text")
            yield line.rstrip("\r\n")
    finally:
        lines.detach()  # otherwise it would close the file


@contextmanager
def explaining_file(path: Path | str) -> Iterator[None]:
    """Turn an error of reading a file into a `TextFileError` that names it."""
    try:
        yield
    except (UnicodeDecodeError, pa.ArrowException, OSError, EOFError, lzma.LZMAError) as error:
        if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
            raise TextFileError(f"{path}: not UTF-8 text ({error}); convert it first") from error
        if "straddling" in str(error):
            raise TextFileError(f"{path}: a row of more than {MAX_LINE:,} bytes") from error
        raise TextFileError(f"{path}: can't be read: {error}") from error


def opened(path: Path) -> Any:
    """Return the open binary file of a path, decompressed if its ending says so."""
    codec = _CODECS.get(path.suffix.lower())
    return lzma.open(path) if codec == "xz" else pa.input_stream(path, compression=codec, buffer_size=1 << 20)


def delimited_options(path: Path) -> dict[str, Any]:
    """Return how pyarrow reads the rows of a CSV file, or of a TSV file, which has no quoting."""
    quoted = kind_of(path) == "csv"
    return {
        # In one thread pyarrow counts the rows, and says which one is wrong.
        "read_options": pyarrow.csv.ReadOptions(block_size=MAX_LINE, use_threads=False),
        "parse_options": pyarrow.csv.ParseOptions(
            delimiter="," if quoted else "\t", quote_char='"' if quoted else False, newlines_in_values=quoted
        ),
    }


def text_of(value: object, where: str) -> str:
    """Return a value of a column as text: bytes are UTF-8, null is empty.

    Raises:
        TextFileError: It is a list, an object, a truth value or a date; begins with `where`.
        UnicodeDecodeError: They are bytes in another encoding.
    """
    if isinstance(value, str):
        # JSON can hold half a character (a lone surrogate), which can't be encoded as text.
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise TextFileError(f"{where} holds a value of type {type(value).__name__}, not text; name another column")


def no_column(path: Path, column: str, columns: Sequence[str]) -> TextFileError:
    """Return the error that a file lacks a column."""
    return TextFileError(f"{path}: no column {column!r}; it has {', '.join(columns)}")


def _read_json_lines(file: Any, column: str, path: Path) -> Iterator[str]:
    for number, line in enumerate(read_lines(file, str(path)), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)[column]
        except (ValueError, KeyError, TypeError) as error:
            raise TextFileError(
                f"{path}:{number}: no JSON object with a column {column!r}; each line has one object"
            ) from error
        yield text_of(value, f"{path}:{number}: {column!r}")


def _read_delimited(file: Any, column: str, path: Path) -> Iterator[str]:
    options = delimited_options(path)
    wanted = pyarrow.csv.ConvertOptions(include_columns=[column], column_types={column: pa.string()})
    try:
        batches = pyarrow.csv.open_csv(file, convert_options=wanted, **options)
    except KeyError:
        with opened(path) as again:
            header = next(read_lines(again, str(path)), "")
        raise no_column(path, column, [header]) from None
    for batch in batches:
        yield from batch.column(0).to_pylist()


def _read_parquet(path: Path, column: str) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if column not in schema.names:
            raise no_column(path, column, schema.names)
        where = f"{path}: column {column!r} ({schema.field(column).type})"
        for batch in file.iter_batches(8192, columns=[column]):
            yield from (text_of(value, where) for value in batch.column(0).to_pylist())

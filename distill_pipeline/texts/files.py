"""Files of texts, read as a stream: lines, JSON lines and Parquet columns."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from distill_pipeline.errors import DistillError

_UTF8 = "utf-8-sig"  # with a byte order mark or without


class TextFileError(DistillError):
    """A file whose texts can't be read; the message begins with the file and says what to do."""


def read_text_file(path: Path, column: str = "text") -> Iterator[str]:
    """Yield a file's texts in order, including empty ones, with at most a batch of them in memory.

    Args:
        path: `.parquet`; `.jsonl`, one object a line; anything else has one text a line. The last two also `.gz`.
        column: The texts' column in a Parquet file, or their key in an object.

    Raises:
        TextFileError: The file doesn't exist, isn't what its name says, isn't UTF-8, or has no such column.
    """
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[-1]
    if not path.exists():
        raise TextFileError(f"{path}: there is no such file")
    try:
        if kind == "parquet":
            yield from _read_parquet(path, column)
            return
        with gzip.open(path, "rt", encoding=_UTF8) if path.suffix == ".gz" else path.open(encoding=_UTF8) as lines:
            yield from _read_json_lines(lines, column, path) if kind == "jsonl" else read_lines(lines)
    except UnicodeDecodeError as error:
        raise TextFileError(f"{path}: not UTF-8 ({error}); convert it first") from error
    except (pa.ArrowInvalid, OSError, EOFError, zlib.error) as error:
        raise TextFileError(f"{path}: can't be read: {error}") from error


def read_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield each line without its line break."""
    return (line.rstrip("\r\n") for line in lines)


def _read_json_lines(lines: Iterable[str], column: str, path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)[column]
        except (ValueError, KeyError, TypeError) as error:
            raise TextFileError(f"{path}:{number}: no JSON object with a column {column!r}") from error
        # JSON can hold half a character (a lone surrogate), which can't be encoded as text.
        yield "" if value is None else str(value).encode("utf-8", "replace").decode()


def _read_parquet(path: Path, column: str) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        if column not in file.schema_arrow.names:
            raise TextFileError(f"{path}: no column {column!r}; it has {', '.join(file.schema_arrow.names)}")
        for batch in file.iter_batches(8192, columns=[column]):
            yield from ("" if value is None else str(value) for value in batch.column(0).to_pylist())

"""The rows of a labelled set's file, checked: what is missing or wrong is named with its row. Knows no scores."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from distill_pipeline.errors import DistillError
from distill_pipeline.texts.files import (
    MAX_LINE,
    TextFileError,
    delimited_options,
    explaining_file,
    kind_of,
    opened,
    text_of,
)

PAIR_COLUMNS = (("sentence1", "sentence2"), ("text1", "text2"), ("word1", "word2"))
"""Usual names of the two texts of pairs; without them, the first two columns of text are taken."""

_NOT_NUMBERS = ("text", "label", "split", "id", "qid", "did", *(name for pair in PAIR_COLUMNS for name in pair))
"""An id such as 007 is no number, and a text may be one."""


class LabelledSetError(DistillError):
    """A labelled set that can't be used; the message says which and what is missing."""


class Rows:
    """A file of rows: Parquet, JSON lines, CSV, or else TSV without quoting.

    All methods raise `LabelledSetError`: a column is missing, or a row has no such value.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kind = kind_of(path)
        if not self._table.num_rows:
            raise LabelledSetError(f"labelled set {path}: it has no rows")

    @cached_property
    def _table(self) -> pa.Table:
        try:
            with explaining_file(self.path):
                table = self._read()
                table.column_names  # noqa: B018 -- raises where a header isn't UTF-8
                return table
        except TextFileError as error:
            raise LabelledSetError(f"labelled set {error}") from error

    def _read(self) -> pa.Table:
        if self._kind == "parquet":
            return pq.read_table(self.path)
        with opened(self.path) as file:
            if self._kind == "json":
                return pyarrow.json.read_json(file, pyarrow.json.ReadOptions(block_size=MAX_LINE))
            types = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(_NOT_NUMBERS, pa.string()))
            return pyarrow.csv.read_csv(file, convert_options=types, **delimited_options(self.path))

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        names: list[str] = self._table.column_names
        return names

    @property
    def names_of_text(self) -> list[str]:
        """Names of the columns of text; polars writes the large one."""
        kinds = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary())
        return [field.name for field in self._table.schema if field.type in kinds]

    def place(self, row: int) -> str:
        """Return where the row of this index, from 0, stands: its line in a file with a header, or its number."""
        return f"row {row + 1}" if self._kind in {"parquet", "json"} else f"line {row + 2}"

    def texts(self, name: str) -> list[str]:
        """Return a column as text."""
        return [text for _, text in self._filled(name)]

    def numbers(self, name: str) -> list[float]:
        """Return a column as numbers."""
        found = []
        for row, text in self._filled(name):
            try:
                found.append(float(text))
            except ValueError as error:
                raise self._wrong(row, f"{name!r} is {text!r}, no number") from error
        return found

    def _filled(self, name: str) -> list[tuple[int, str]]:
        """Return each row's index and value of a column, none of them empty."""
        if name not in self.names:
            raise LabelledSetError(f"labelled set {self.path}: no column {name!r}; it has {', '.join(self.names)}")
        found = []
        for row, value in enumerate(self._table[name].to_pylist()):
            try:
                # True and false are classes, but no text.
                text = str(value) if isinstance(value, bool) and name != "text" else text_of(value, f"{name!r}")
            except (TextFileError, UnicodeDecodeError) as error:
                raise self._wrong(row, str(error)) from error
            if not text.strip():
                raise self._wrong(row, f"no {name}")
            found.append((row, text))
        return found

    def _wrong(self, row: int, problem: str) -> LabelledSetError:
        return LabelledSetError(f"labelled set {self.path}, {self.place(row)}: {problem}")

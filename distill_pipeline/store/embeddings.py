"""Embeddings as Parquet parts: written one by one, each complete or absent, and read in bounded batches.

A part is finished when the ledger names it; a killed run leaves at most one unfinished part behind.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from distill_pipeline.store.disk import sha256_of

LEDGER = ".ledger.jsonl"
"""Hidden, so not a file of the output; the store removes it once the output is in place."""

ROWS_PER_GROUP = 512
"""The Parquet writer keeps bookkeeping for each number of a group. Measured: 55 MB for groups of 8,192 rows of 768
numbers, 18 MB for 512."""


def part_name(number: int) -> str:
    """Return a part's file name; names sort in row order."""
    return f"part-{number:06d}.parquet"


def part_slices(groups: Sequence[int], rows_per_part: int) -> list[slice]:
    """Return the rows of each part, for consecutive groups of these sizes; no part has rows of two groups."""
    return [
        slice(first, min(first + rows_per_part, end))
        for begin, end in itertools.pairwise(itertools.accumulate(groups, initial=0))
        for first in range(begin, end, rows_per_part)
    ]


def embedding_array(rows: npt.NDArray[np.float32]) -> pa.FixedSizeListArray:
    """Return float32 (n, dims) as an Arrow `fixed_size_list<float32>[dims]`, without a copy."""
    flat = pa.array(np.ascontiguousarray(rows, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def write_table(path: Path, columns: dict[str, Any]) -> None:
    """Write a Parquet file that appears when it is complete; uncompressed, because floats don't compress."""
    partial = path.with_name(f".{path.name}.partial")
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.table(columns), partial, row_group_size=ROWS_PER_GROUP, **options)
    partial.replace(path)
    pa.default_memory_pool().release_unused()  # also the system's, once `keep_freed_memory` was called


class Ledger:
    """The finished parts of a folder, by name and content.

    Args:
        folder: Folder of the parts.
        plan: JSON values that must be equal for parts of two attempts to fit together; parts of an attempt with
            another plan are removed.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.path = folder / LEDGER
        self.plan = dict(plan)
        self._finished: dict[str, str] = {}
        if self._read() != self.plan:
            for path in [self.path, *folder.glob("part-*.parquet")]:
                path.unlink(missing_ok=True)
            self._finished = {}
            self._append(self.plan)

    def _read(self) -> dict[str, Any] | None:
        """Read the finished parts and return the plan with which they were made, or None."""
        plan = None
        content = self.path.read_bytes() if self.path.is_file() else b""
        for line in content.splitlines():
            try:
                entry = json.loads(line)
                if "part" in entry:
                    self._finished[entry["part"]] = entry["sha256"]
                else:
                    plan = dict(entry)
            except (ValueError, KeyError, TypeError):  # empty, cut short when the run was killed, or damaged
                continue
        return plan

    def _append(self, entry: Mapping[str, Any]) -> None:
        # A line break on both sides, so that a line cut short by a kill doesn't run into another.
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(entry, sort_keys=True)}\n")

    def has(self, part: Path) -> bool:
        """Whether this part is finished and still has the bytes that it was finished with."""
        digest = self._finished.get(part.name)
        return digest is not None and part.is_file() and sha256_of(part) == digest

    def add(self, part: Path, digest: str | None = None) -> None:
        """Note that this part is finished; its sha256 is computed unless given."""
        self._finished[part.name] = digest or sha256_of(part)
        self._append({"part": part.name, "sha256": self._finished[part.name]})


class Embeddings:
    """The rows of Parquet files with a column `embedding`; can be read repeatedly, without holding all in memory."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.dimensions: int = pq.read_schema(paths[0]).field("embedding").type.list_size
        self.rows: int = sum(pq.read_metadata(path).num_rows for path in paths)

    @classmethod
    def of_parts(cls, folder: Path) -> Embeddings:
        """Open all parts of a folder in row order."""
        return cls(sorted(folder.glob("part-*.parquet")))

    def batches(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield float32 (at most 8192, dims) in row order."""
        for path in self.paths:
            for batch in pq.ParquetFile(path).iter_batches(8192, columns=["embedding"]):
                column = batch.column(0)
                yield column.flatten().to_numpy(zero_copy_only=True).reshape(len(column), self.dimensions)

    def placed_batches(self) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
        """Yield each of `batches` after its place among all rows."""
        first = 0
        for batch in self.batches():
            yield slice(first, first + len(batch)), batch
            first += len(batch)

    def all(self) -> npt.NDArray[np.float32]:
        """Return every row, float32 (rows, dims)."""
        rows = np.empty((self.rows, self.dimensions), dtype=np.float32)
        for place, batch in self.placed_batches():
            rows[place] = batch
        return rows


def unit_rows(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return each row of (n, dims) divided by its length, float64; a row of zeros stays zero."""
    wide = rows.astype(np.float64)
    unit: npt.NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return unit

"""Shards of what is to be encoded, one for each part.

Knows nothing of Ray or teachers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pyarrow.parquet as pq

from distill_pipeline.distillation.encoding import ROWS_PER_PART, sentence_ids
from distill_pipeline.distillation.parts import part_slices
from distill_pipeline.errors import DistillError


class ClusterError(DistillError):
    """A cluster, a corpus or a bucket that can't be used; the message says why and what to do."""


@dataclass(frozen=True)
class Shard:
    """The rows of one part: token ids (with their texts, if any), or a row group of a Parquet file of texts.

    `version` changes when that file is written anew, as far as its file system tells.
    """

    number: int
    first: int
    rows: int
    ids: Sequence[Sequence[int]] = ()
    texts: Sequence[str] | None = None
    row_group: tuple[str, str, int] | None = None
    version: str = ""

    def read(self, teacher: Path, prompt: str | None) -> tuple[Sequence[Sequence[int]], Sequence[str] | None]:
        """Return the shard's token ids for the teacher in this folder, and its texts if it has any."""
        if self.row_group is None:
            return self.ids, self.texts
        url, column, group = self.row_group
        with fsspec.open(url) as file:
            values = pq.ParquetFile(file).read_row_group(group, columns=[column])[column].to_pylist()
        texts = ["" if value is None else str(value) for value in values]
        return sentence_ids(teacher, texts, prompt=prompt), texts


def shards_of(
    sequences: Sequence[Sequence[int]],
    texts: Sequence[str] | None,
    rows_per_part: int = ROWS_PER_PART,
    *,
    groups: Sequence[int] = (),
) -> list[Shard]:
    """Cut sequences in memory as `encode_to_parts` does."""
    return [
        Shard(number, some.start, some.stop - some.start, sequences[some], None if texts is None else texts[some])
        for number, some in enumerate(part_slices(groups or [len(sequences)], rows_per_part))
    ]


def corpus_shards(url: str, column: str = "text") -> list[Shard]:
    """Make one shard of each row group of the Parquet files at an fsspec URL; only their footers are read.

    Raises:
        ClusterError: There is no Parquet file, or one has no such column.
    """
    filesystem, path = fsspec.core.url_to_fs(url)
    names = sorted(name for name in filesystem.find(path) if name.endswith(".parquet"))
    shards: list[Shard] = []
    first = 0
    for name in names:
        with filesystem.open(name) as file:
            footer = pq.ParquetFile(file)
        if column not in footer.schema_arrow.names:
            raise ClusterError(f"{name} has no column {column!r} (it has {', '.join(footer.schema_arrow.names)})")
        version = str(filesystem.ukey(name))
        for group in range(footer.num_row_groups):
            rows = footer.metadata.row_group(group).num_rows
            if not rows:
                continue
            located = (filesystem.unstrip_protocol(name), column, group)
            shards.append(Shard(len(shards), first, rows, row_group=located, version=version))
            first += rows
    if not shards:
        raise ClusterError(f"{url} holds no Parquet file; give a .parquet file or a folder of them")
    return shards

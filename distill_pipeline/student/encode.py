"""Encode any number of texts with a static model into one Parquet file, with a bounded number in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from distill_pipeline.store.embeddings import embedding_array

if TYPE_CHECKING:
    from model2vec import StaticModel

MAX_TEXTS, MAX_CHARACTERS = 8192, 1 << 24
"""Encoded at once. More texts are no faster, nor are threads: measured on two cores."""


@dataclass(frozen=True)
class EncodingProgress:
    """Texts encoded so far, and the seconds spent, including reading and writing."""

    texts: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.texts:,} texts, {self.texts / max(self.seconds, 1e-9):,.0f} texts/s"


def encode_to_parquet(
    model: StaticModel, texts: Iterable[str], path: Path, *, report: Callable[[EncodingProgress], None] = lambda _: None
) -> EncodingProgress:
    """Write each text and its embedding, in order, as columns `text` and `embedding` (fixed_size_list<float32>).

    The file appears by one rename when it is complete; a failure leaves nothing, or an older file as it was. An empty
    text has a row of zeros. `report` is called after each block of texts.
    """
    schema = pa.schema([("text", pa.string()), ("embedding", pa.list_(pa.float32(), int(model.dim)))])
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    started, done = time.monotonic(), EncodingProgress(0, 0.0)
    try:
        # Floats don't compress.
        compression = {"text": "zstd", "embedding.list.element": "none"}
        with pq.ParquetWriter(
            partial, schema, compression=compression, use_dictionary=False, write_statistics=False
        ) as writer:
            for block in text_blocks(texts):
                rows = np.asarray(model.encode(block), dtype=np.float32)
                columns = {"text": pa.array(block, pa.string()), "embedding": embedding_array(rows)}
                writer.write_table(pa.table(columns, schema=schema))
                done = EncodingProgress(done.texts + len(block), time.monotonic() - started)
                report(done)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return EncodingProgress(done.texts, time.monotonic() - started)


def text_blocks(
    texts: Iterable[str], max_texts: int = MAX_TEXTS, max_characters: int = MAX_CHARACTERS
) -> Iterator[list[str]]:
    """Yield blocks of texts, bounded by number and, since long texts would fill the memory, by length."""
    block: list[str] = []
    characters = 0
    for text in texts:
        block.append(text)
        characters += len(text)
        if len(block) == max_texts or characters >= max_characters:
            yield block
            block, characters = [], 0
    if block:
        yield block

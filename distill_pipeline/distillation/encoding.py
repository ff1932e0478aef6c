"""From token ids to Parquet parts of embeddings, through the teacher."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from distill_pipeline.distillation.download import TeacherError
from distill_pipeline.distillation.parts import Ledger, embedding_array, part_name, write_table
from distill_pipeline.distillation.teacher import Teacher, multiplies_bfloat16_natively

TOKENS_PER_BATCH = 6144
ROWS_PER_PART = 8192
PROBE_ROWS = 64
MOST_TOKENS = 256


@dataclass(frozen=True)
class Progress:
    """How far a stage has come."""

    done: int
    total: int
    per_second: float

    @property
    def seconds_left(self) -> float:
        """At the present pace; infinite before the first row of this run."""
        return (self.total - self.done) / self.per_second if self.per_second else float("inf")

    def __str__(self) -> str:
        return f"{self.done:,}/{self.total:,} rows, {self.per_second:,.0f} rows/s, {self.seconds_left:,.0f} s left"


Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Precision:
    """The arithmetic in which the teacher runs, and why."""

    used: str
    reason: str
    least_cosine: float | None = None


def settle_precision(
    teacher: Teacher,
    wanted: Literal["auto", "float32", "bfloat16"],
    floor: float,
    sample: Sequence[Sequence[int]],
) -> Precision:
    """Put the teacher into the wanted arithmetic; "auto" tries bfloat16 where the hardware multiplies it.

    Args:
        teacher: Loaded in float32.
        wanted: The recipe's precision.
        floor: The least cosine between a row in bfloat16 and in float32 that "auto" accepts.
        sample: Token ids to try both ways.

    Returns:
        What is used now. When "auto" fell back, the teacher must be loaded anew: bfloat16 lost its digits.
    """
    if wanted == "float32":
        return Precision("float32", "as the recipe says")
    if wanted == "auto" and not multiplies_bfloat16_natively(str(teacher.backbone.device)):
        return Precision("float32", "this hardware has no bfloat16 products")
    exact = _unit(teacher.rows(sample))
    teacher.to("bfloat16")
    least = float((exact * _unit(teacher.rows(sample))).sum(axis=1).min())
    if wanted == "auto" and least < floor:
        return Precision("float32", f"bfloat16 gave cosine {least:.5f}, below the floor {floor}", least)
    return Precision("bfloat16", "as the recipe says" if wanted == "bfloat16" else "native on this hardware", least)


def probe_sample(sequences: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Return up to 64 sequences spread evenly over all."""
    step = max(1, len(sequences) // PROBE_ROWS)
    return list(sequences[::step][:PROBE_ROWS])


def encode_to_parts(
    sequences: Sequence[Sequence[int]],
    teacher: Teacher,
    folder: Path,
    *,
    report: Report = lambda _: None,
    rows_per_part: int = ROWS_PER_PART,
    texts: Sequence[str] | None = None,
) -> int:
    """Encode every sequence and write the rows in order as `part-*.parquet` (row, embedding float32).

    Finished parts of an earlier attempt in the folder are kept, and a part's bytes don't depend on which
    attempt wrote it. With `texts`, one per sequence, a column `text` takes the place of `row`.

    Returns:
        The number of rows that were found finished.

    Raises:
        TeacherError: The teacher gave a value that is not finite.
    """
    ledger = Ledger(folder)
    started, done, kept = time.monotonic(), 0, 0
    for number, first in enumerate(range(0, len(sequences), rows_per_part)):
        part = folder / part_name(number)
        chunk = sequences[first : first + rows_per_part]
        if ledger.has(part):
            kept += len(chunk)
            continue
        rows = np.empty((len(chunk), 0), dtype=np.float32)
        for positions in batches_by_length(chunk, TOKENS_PER_BATCH):
            encoded = teacher.rows([chunk[position] for position in positions])
            if not rows.size:
                rows = np.empty((len(chunk), encoded.shape[1]), dtype=np.float32)
            rows[positions] = encoded
            done += len(positions)
            report(Progress(kept + done, len(sequences), done / (time.monotonic() - started)))
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if len(bad):
            raise TeacherError(
                f"the teacher gives values that are not finite for {len(bad)} of {len(chunk)} rows, the first "
                f"being row {first + int(bad[0])}; try precision: float32, or leave these tokens out"
            )
        label: dict[str, Any]
        if texts is None:
            label = {"row": np.arange(first, first + len(chunk), dtype=np.int32)}
        else:
            label = {"text": texts[first : first + len(chunk)]}
        write_table(part, {**label, "embedding": embedding_array(rows)})
        ledger.add(part)
    ledger.close()
    return kept


def batches_by_length(sequences: Sequence[Sequence[int]], token_budget: int) -> Iterator[list[int]]:
    """Yield positions of sequences of like length, each batch within a budget of padded tokens."""
    order = sorted(range(len(sequences)), key=lambda position: len(sequences[position]))
    batch: list[int] = []
    for position in order:
        if batch and (len(batch) + 1) * len(sequences[position]) > token_budget:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def sentence_ids(teacher_folder: Path, texts: Sequence[str], *, prompt: str | None) -> list[list[int]]:
    """Return the ids that the teacher reads for whole texts: special tokens and prompt included, cut at 256."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(teacher_folder, use_fast=True, local_files_only=True).backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST_TOKENS)
    prompted = [f"{prompt}{text}" for text in texts] if prompt else list(texts)
    return [encoding.ids for encoding in tokenizer.encode_batch(prompted)]


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    wide = rows.astype(np.float64)
    unit: npt.NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return unit

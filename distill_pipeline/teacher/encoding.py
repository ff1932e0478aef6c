"""Encode token ids with the teacher and write the embeddings as Parquet parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distill_pipeline.errors import TeacherError
from distill_pipeline.store.embeddings import Ledger, embedding_array, part_name, part_slices, unit_rows, write_table
from distill_pipeline.teacher.batches import BatchEncoder, Encoding, Report, progress_counter
from distill_pipeline.teacher.hardware import has_native_bfloat16
from distill_pipeline.teacher.reuse import EarlierOutput, reuse_parts
from distill_pipeline.teacher.teacher import Teacher
from distill_pipeline.teacher.tokenizer import load_tokenizer

ROWS_PER_PART = 8192
PROBE_ROWS = 64
MAX_TOKENS = 256

MIN_COSINE_TO_FLOAT32 = 0.999
"""Of rows in bfloat16; below it, precision=auto uses float32."""


@dataclass(frozen=True)
class Precision:
    """The precision in which the teacher runs, and why.

    Attributes:
        used: float32 or bfloat16.
        reason: Why this one.
        min_cosine: Between sample rows in bfloat16 and in float32, if that was measured.
    """

    used: str
    reason: str
    min_cosine: float | None = None


def settle_precision(
    teacher: Teacher, wanted: Literal["auto", "float32", "bfloat16"], sample: Sequence[Sequence[int]]
) -> Precision:
    """Convert the teacher to the wanted precision; return the precision to use.

    "auto" tries bfloat16 where the hardware multiplies it natively. When it falls back to float32, the teacher must be
    loaded again: its weights have lost digits to bfloat16.

    Args:
        teacher: Loaded in float32.
        wanted: The recipe's precision.
        sample: Token ids to encode in both.
    """
    if wanted == "float32":
        return Precision("float32", "as the recipe says")
    if wanted == "auto" and not has_native_bfloat16(teacher.device):
        return Precision("float32", "this hardware has no bfloat16 products")
    exact = unit_rows(teacher.rows(sample))
    teacher.to_bfloat16()
    cosine = float((exact * unit_rows(teacher.rows(sample))).sum(axis=1).min())
    if wanted == "auto" and not cosine >= MIN_COSINE_TO_FLOAT32:  # also true of NaN
        reason = f"bfloat16 gave cosine {cosine:.5f}, below the floor {MIN_COSINE_TO_FLOAT32}"
        return Precision("float32", reason, cosine)
    return Precision("bfloat16", "as the recipe says" if wanted == "bfloat16" else "native on this hardware", cosine)


def probe_sample(sequences: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Return up to 64 of the sequences, spread evenly; no empty ones."""
    step = max(1, len(sequences) // PROBE_ROWS)
    return [sequence for sequence in sequences[::step] if len(sequence)][:PROBE_ROWS]


def encode_to_parts(
    sequences: Sequence[Sequence[int]],
    teacher: Teacher,
    folder: Path,
    *,
    report: Report = lambda _: None,
    rows_per_part: int = ROWS_PER_PART,
    texts: Sequence[str] | None = None,
    groups: Sequence[int] = (),
    earlier: Sequence[EarlierOutput] = (),
) -> int:
    """Encode every sequence and write the rows in order as `part-*.parquet` (row or text, embedding float32).

    Finished parts of an earlier attempt in the folder are kept; a part has the same bytes whichever attempt writes it.
    At most two parts are in memory: one is written while the next is encoded.

    Args:
        sequences: Token ids, special tokens included.
        teacher: In the precision to use.
        folder: Holds the parts and the ledger of the finished ones.
        report: Called with the progress: at the beginning if rows are kept, and after each batch.
        rows_per_part: Rows of each part but the last of a group.
        texts: The texts of the sequences; the parts then have a column `text` instead of `row`.
        groups: Sizes of consecutive groups, each of which begins a new part; all sequences are one group if empty.
        earlier: Outputs that this teacher made of other texts; a part with exactly the same texts is copied from there.

    Returns:
        The number of rows that were kept or copied, and so not encoded.

    Raises:
        TeacherError: The teacher gave a value that is not finite, or a sequence doesn't fit into memory.
    """
    ran = {"precision": teacher.precision, "forward": teacher.forward.name, "device": teacher.device}
    ledger, pending = pending_parts(folder, ran, len(sequences), rows_per_part, groups, texts=texts, earlier=earlier)
    kept: int = len(sequences) - sum(rows.stop - rows.start for rows in pending.values())
    advance = progress_counter(kept, len(sequences), report)
    with BatchEncoder(teacher) as encoder:
        encodings = (encoder.start(sequences[rows]) for rows in pending.values())
        # In pairs, so that the next part is queued before one is waited for and written.
        pairs = pairwise(chain(encodings, [Encoding(0)]))
        for (name, rows), (encoding, _) in zip(pending.items(), pairs, strict=True):
            write_part(folder / name, encoding.rows(advance), rows.start, None if texts is None else texts[rows])
            ledger.add(folder / name)
    return kept


def pending_parts(
    folder: Path,
    ran: Mapping[str, str],
    count: int,
    rows_per_part: int,
    groups: Sequence[int],
    *,
    texts: Sequence[str] | None,
    earlier: Sequence[EarlierOutput],
) -> tuple[Ledger, dict[str, slice]]:
    """Return a folder's ledger, and the rows of each part that is neither finished nor in an earlier output.

    Args:
        folder, rows_per_part, groups, texts, earlier: See `encode_to_parts`.
        ran: Precision, forward pass and device of the teacher; parts made in another precision or pass are removed.
        count: The number of rows.
    """
    plan = {"rows": count, "rows_per_part": rows_per_part, "precision": ran["precision"], "forward": ran["forward"]}
    ledger = Ledger(folder, plan)
    parts = {part_name(number): rows for number, rows in enumerate(part_slices(groups or [count], rows_per_part))}
    if texts is not None:
        reuse_parts({name: texts[rows] for name, rows in parts.items()}, folder, ledger, earlier, ran)
    return ledger, {name: rows for name, rows in parts.items() if not ledger.has(folder / name)}


def encoding_facts(rows: int, kept: int, precision: Precision, device: str, forward: str) -> dict[str, Any]:
    """Return what a stage's manifest says of its rows, of which `kept` were not encoded by this attempt."""
    return {
        "rows": rows,
        "rows_resumed": kept,
        "precision": precision.used,
        "precision_reason": precision.reason,
        "min_cosine_to_float32": precision.min_cosine,
        "device": device,
        "forward": forward,
    }


def write_part(path: Path, rows: npt.NDArray[np.float32], first: int, texts: Sequence[str] | None) -> None:
    """Write a part of rows, float32 (n, dims), beside their texts if it has any, else beside row numbers from `first`.

    Raises:
        TeacherError: A value is not finite.
    """
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise TeacherError(
            f"the teacher gives values that are not finite for {len(bad)} of {len(rows)} rows, the first "
            f"being row {first + int(bad[0])}; try precision: float32, or leave these tokens out"
        )
    if texts is None:
        label: dict[str, Any] = {"row": np.arange(first, first + len(rows), dtype=np.int32)}
    else:
        label = {"text": pa.array(texts, pa.string())}
    write_table(path, {**label, "embedding": embedding_array(rows)})


def sentence_ids(teacher_folder: Path, texts: Sequence[str], *, prompt: str | None) -> list[list[int]]:
    """Return the token ids of whole texts, special tokens and prompt included.

    They are truncated to 256 tokens, or fewer if the teacher takes fewer.
    """
    loaded = load_tokenizer(teacher_folder)
    tokenizer = loaded.backend_tokenizer
    tokenizer.no_padding()
    limits = [MAX_TOKENS, loaded.model_max_length]
    for name, field in (("sentence_bert_config.json", "max_seq_length"), ("config.json", "max_position_embeddings")):
        path = teacher_folder / name
        limits.append((path.is_file() and json.loads(path.read_text(encoding="utf-8")).get(field)) or MAX_TOKENS)
    tokenizer.enable_truncation(min(limits))
    prompted = [f"{prompt}{text}" for text in texts] if prompt else list(texts)
    return [encoding.ids for encoding in tokenizer.encode_batch(prompted)]

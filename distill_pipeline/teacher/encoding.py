"""From token ids to Parquet parts of embeddings, through the teacher."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distill_pipeline.errors import TeacherError
from distill_pipeline.store.embeddings import Ledger, embedding_array, part_name, part_slices, unit_rows, write_table
from distill_pipeline.teacher.batches import BatchEncoder, Encoding, Pace, Report
from distill_pipeline.teacher.hardware import multiplies_bfloat16_natively
from distill_pipeline.teacher.reuse import EarlierOutput, take_over
from distill_pipeline.teacher.teacher import Teacher
from distill_pipeline.teacher.tokenizer import load_tokenizer

ROWS_PER_PART = 8192
PROBE_ROWS = 64
MOST_TOKENS = 256

MIN_COSINE_TO_FLOAT32 = 0.999
"""Of a row in bfloat16 to the same row in float32, for precision=auto to use bfloat16."""


@dataclass(frozen=True)
class Precision:
    """The arithmetic in which the teacher runs, and why."""

    used: str
    reason: str
    least_cosine: float | None = None


def settle_precision(
    teacher: Teacher, wanted: Literal["auto", "float32", "bfloat16"], sample: Sequence[Sequence[int]]
) -> Precision:
    """Convert the teacher to the wanted precision and return that; "auto" is bfloat16 where the hardware multiplies it.

    When "auto" falls back to float32, the teacher must be loaded again: bfloat16 lost digits of its weights.

    Args:
        teacher: Loaded in float32.
        wanted: The recipe's precision.
        sample: Token ids to encode in both.
    """
    if wanted == "float32":
        return Precision("float32", "as the recipe says")
    if wanted == "auto" and not multiplies_bfloat16_natively(teacher.device):
        return Precision("float32", "this hardware has no bfloat16 products")
    exact = unit_rows(teacher.rows(sample))
    teacher.to_bfloat16()
    least = float((exact * unit_rows(teacher.rows(sample))).sum(axis=1).min())
    if wanted == "auto" and not least >= MIN_COSINE_TO_FLOAT32:  # nor when it is no number
        return Precision("float32", f"bfloat16 gave cosine {least:.5f}, below the floor {MIN_COSINE_TO_FLOAT32}", least)
    return Precision("bfloat16", "as the recipe says" if wanted == "bfloat16" else "native on this hardware", least)


def probe_sample(sequences: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Return up to 64 sequences spread evenly over all."""
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

    Finished parts of an earlier attempt in the folder are kept, and a part's bytes don't depend on which
    attempt wrote it. At most two parts are in memory: while one is written, the next is being encoded.

    Args:
        sequences: Token ids, special tokens included.
        teacher: In the arithmetic to use.
        folder: Where the parts are, and a ledger of the finished ones.
        report: Told how far it is: at the beginning when something is kept, and after each batch.
        rows_per_part: Rows of each part but the last of a group.
        texts: What the sequences are of; then the parts have a column `text` in place of `row`.
        groups: Sizes of groups that follow each other, each of which begins a part; one of all when not given.
        earlier: What this teacher made of texts before; a part of the very same texts is taken from there.

    Returns:
        The number of rows that were found finished, here or there.

    Raises:
        TeacherError: The teacher gave a value that is not finite, or a sequence doesn't fit into memory.
    """
    ledger = Ledger(folder, plan_of(len(sequences), rows_per_part, teacher.precision, teacher.forward.name))
    slices = part_slices(groups or [len(sequences)], rows_per_part)
    if texts is not None:
        wanted = {part_name(number): texts[some] for number, some in enumerate(slices)}
        take_over(wanted, folder, ledger, earlier, device=teacher.device)
    pending = [number for number in range(len(slices)) if not ledger.has(folder / part_name(number))]
    kept = len(sequences) - sum(len(sequences[slices[number]]) for number in pending)
    pace = Pace(kept, len(sequences), report)

    def finish(number: int, encoding: Encoding) -> None:
        rows = encoding.rows(pace.advance)
        some = slices[number]
        write_part(folder / part_name(number), rows, some.start, None if texts is None else texts[some])
        ledger.add(folder / part_name(number))

    with BatchEncoder(teacher) as encoder:
        waiting: deque[tuple[int, Encoding]] = deque()
        for number in pending:
            waiting.append((number, encoder.start(sequences[slices[number]])))
            if len(waiting) > 1:
                finish(*waiting.popleft())
        if waiting:
            finish(*waiting.popleft())
    return kept


def plan_of(rows: int, rows_per_part: int, precision: str, forward: str) -> dict[str, Any]:
    """Return what parts must have been made with to fit together."""
    return {"rows": rows, "rows_per_part": rows_per_part, "precision": precision, "forward": forward}


def encoding_facts(rows: int, kept: int, precision: Precision, device: str, forward: str) -> dict[str, Any]:
    """Return what a stage's manifest says about how its rows were made, `kept` of them by an earlier attempt."""
    return {
        "rows": rows,
        "rows_resumed": kept,
        "precision": precision.used,
        "precision_reason": precision.reason,
        "least_cosine_to_float32": precision.least_cosine,
        "device": device,
        "forward": forward,
    }


def write_part(path: Path, rows: npt.NDArray[np.float32], first: int, texts: Sequence[str] | None) -> None:
    """Write a part whose rows, float32 (n, dims), begin with row `first`; `texts` are those of its rows.

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
    """Return the ids that the teacher reads for whole texts: special tokens and prompt included.

    Cut at 256 tokens, or at fewer if the teacher reads no more.
    """
    loaded = load_tokenizer(teacher_folder)
    tokenizer = loaded.backend_tokenizer
    tokenizer.no_padding()
    limits = [MOST_TOKENS, loaded.model_max_length]
    for name, field in (("sentence_bert_config.json", "max_seq_length"), ("config.json", "max_position_embeddings")):
        path = teacher_folder / name
        limits.append((path.is_file() and json.loads(path.read_text(encoding="utf-8")).get(field)) or MOST_TOKENS)
    tokenizer.enable_truncation(min(limits))
    prompted = [f"{prompt}{text}" for text in texts] if prompt else list(texts)
    return [encoding.ids for encoding in tokenizer.encode_batch(prompted)]

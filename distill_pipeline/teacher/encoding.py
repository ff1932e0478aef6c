"""Encode token ids with the teacher and write the embeddings as Parquet parts."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distill_pipeline.errors import TeacherError
from distill_pipeline.store.embeddings import Ledger, embedding_array, part_name, part_slices, unit_rows, write_table
from distill_pipeline.store.mapped import mapped
from distill_pipeline.teacher.batches import BatchEncoder, Encoding, Report, progress_counter
from distill_pipeline.teacher.hardware import has_native_bfloat16
from distill_pipeline.teacher.reuse import EarlierOutput, reuse_parts
from distill_pipeline.teacher.teacher import Teacher
from distill_pipeline.teacher.tokenizer import load_tokenizer, max_tokens

PROBE_ROWS = 64
_TINY = np.float32(1e-12)
"""As in torch's `normalize`: a row of zeros stays zero."""
_TEXTS_AT_ONCE = 8192

MIN_COSINE_TO_FLOAT32 = 0.999
"""Of rows in bfloat16; below it, precision=auto uses float32."""


@dataclass(frozen=True)
class TeacherSetup:
    """How the teacher runs, in the words of a stage's manifest.

    Attributes:
        precision: float32 or bfloat16.
        precision_reason: Why this one.
        min_cosine_to_float32: Of sample rows in bfloat16, if it was measured.
        device: Where the teacher runs.
        forward: Name of the forward pass.
    """

    precision: str
    precision_reason: str
    min_cosine_to_float32: float | None
    device: str
    forward: str

    def facts(self, rows: int, kept: int) -> dict[str, Any]:
        """Return what the manifest says of a stage's rows, of which `kept` were not encoded by this attempt."""
        return {"rows": rows, "rows_resumed": kept, **asdict(self)}


def settle_precision(
    teacher: Teacher, wanted: Literal["auto", "float32", "bfloat16"], sample: Sequence[Sequence[int]]
) -> TeacherSetup:
    """Convert a teacher in float32 to the wanted precision; return how to run it.

    "auto" tries bfloat16 where the hardware multiplies it natively, and compares the rows of a sample in both. When it
    falls back to float32, the teacher must be loaded again: its weights have lost digits to bfloat16.
    """
    device, float32_forward = teacher.device, teacher.forward.name
    if wanted == "float32":
        return TeacherSetup("float32", "as the recipe says", None, device, float32_forward)
    if wanted == "auto" and not has_native_bfloat16(device):
        return TeacherSetup("float32", "this hardware has no bfloat16 products", None, device, float32_forward)
    exact = _unit_rows_of(teacher, sample)
    teacher.to_bfloat16()
    cosine = float((exact * _unit_rows_of(teacher, sample)).sum(axis=1).min())
    if wanted == "auto" and not cosine >= MIN_COSINE_TO_FLOAT32:  # also true of NaN
        reason = f"bfloat16 gave cosine {cosine:.5f}, below the floor {MIN_COSINE_TO_FLOAT32}"
        return TeacherSetup("float32", reason, cosine, device, float32_forward)
    reason = "as the recipe says" if wanted == "bfloat16" else "native on this hardware"
    return TeacherSetup("bfloat16", reason, cosine, device, teacher.forward.name)


def _unit_rows_of(teacher: Teacher, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
    with BatchEncoder(teacher) as encoder:  # on a CPU ten times faster than with all cores on each small batch
        return unit_rows(encoder.start(sequences).rows(lambda _: None))


def probe_sample(sequences: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Return up to 64 of the sequences, spread evenly, without empty ones."""
    step = max(1, len(sequences) // PROBE_ROWS)
    return [sequence for sequence in sequences[::step] if len(sequence)][:PROBE_ROWS]


@dataclass(frozen=True)
class EncodingWork:
    """Sequences to encode, and their division into parts.

    Attributes:
        sequences: Token ids, special tokens included.
        groups: The texts of the sequences, in groups each of which begins a new part; the parts then have a column
            `text` instead of `row`.
        earlier: Outputs that this teacher made of other texts; a part with exactly the same texts is copied from there.
        rows_per_part: Rows of each part but the last of a group.
    """

    sequences: Sequence[Sequence[int]]
    groups: Sequence[Sequence[str]] | None = None
    earlier: Sequence[EarlierOutput] = ()
    rows_per_part: int = 8192

    def texts_of(self, rows: slice) -> Sequence[str] | None:
        """Return the texts of some rows of one group, if there are any."""
        first = 0
        for group in self.groups or ():
            if rows.start < first + len(group):
                return group[rows.start - first : rows.stop - first]
            first += len(group)
        return None

    def pending(self, folder: Path, precision: str, forward: str, device: str) -> tuple[Ledger, dict[str, slice], int]:
        """Return a folder's ledger, the rows of each part that is left to encode, and the number of other rows.

        Parts of an attempt in another precision or forward pass, or divided otherwise, are removed.
        """
        total, size = len(self.sequences), self.rows_per_part
        ledger = Ledger(folder, {"rows": total, "rows_per_part": size, "precision": precision, "forward": forward})
        sizes = [total] if self.groups is None else list(map(len, self.groups))
        parts = {part_name(number): rows for number, rows in enumerate(part_slices(sizes, size))}
        if self.groups is not None:
            texts = ((name, self.texts_of(rows) or ()) for name, rows in parts.items())
            ran = {"precision": precision, "forward": forward, "device": device}
            reuse_parts(texts, folder, ledger, self.earlier, ran)
        pending = {name: rows for name, rows in parts.items() if not ledger.has(folder / name)}
        return ledger, pending, total - sum(rows.stop - rows.start for rows in pending.values())


def encode_to_parts(work: EncodingWork, teacher: Teacher, folder: Path, report: Report = lambda _: None) -> int:
    """Encode every sequence and write the rows in order as `part-*.parquet` (row or text, embedding float32).

    Where the teacher makes the length of its rows 1, those without texts have a column `length` (float32) too: the
    length before.

    Finished parts of an earlier attempt in the folder are kept; a part has the same bytes whichever attempt writes it.
    At most two parts are in memory: one is written while the next is encoded.

    Args:
        work: What to encode.
        teacher: In the precision to use.
        folder: Holds the parts and the ledger of the finished ones.
        report: Called with the progress, at the beginning if rows are kept, and after each batch.

    Returns:
        The number of rows that were kept or copied, and so not encoded.

    Raises:
        TeacherError: The teacher gave a value that is not finite, or a sequence doesn't fit into memory.
    """
    ledger, pending, kept = work.pending(folder, teacher.precision, teacher.forward.name, teacher.device)
    advance = progress_counter(kept, len(work.sequences), report)
    with teacher.forward.keeping_lengths(work.groups is None) as lengths, BatchEncoder(teacher) as encoder:
        encodings = (encoder.start(work.sequences[rows]) for rows in pending.values())
        # In pairs, so that the next part is queued before one is waited for and written.
        pairs = pairwise(chain(encodings, [Encoding(0)]))
        for (name, rows), (encoding, _) in zip(pending.items(), pairs, strict=True):
            write_part(folder / name, encoding.rows(advance), rows.start, work.texts_of(rows), lengths=lengths)
            ledger.add(folder / name)
    return kept


def write_part(
    path: Path, rows: npt.NDArray[np.float32], first: int, texts: Sequence[str] | None, *, lengths: bool = False
) -> None:
    """Write a part of rows, float32 (n, dims), beside their texts if it has any, else beside row numbers from `first`.

    With `lengths`, the rows are divided by their lengths, which stand beside them.

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
    if lengths:
        norms = np.linalg.norm(rows, axis=1)
        label["length"], rows = norms, rows / np.maximum(norms, _TINY)[:, None]
    write_table(path, {**label, "embedding": embedding_array(rows)})


class TokenIds(Sequence[list[int]]):
    """Token ids of many texts, in a nameless file in the folder; in memory is where each text's ids end, 8 bytes."""

    def __init__(self, blocks: Iterable[Sequence[Sequence[int]]], folder: Path | None = None) -> None:
        lengths = array("Q", [0])
        with TemporaryFile(dir=folder) as file:
            for block in blocks:
                lengths.extend(map(len, block))
                file.write(array("i", chain.from_iterable(block)))
            self._ids, self._ends = mapped(file, np.int32), np.cumsum(lengths)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> list[int]: ...
    @overload
    def __getitem__(self, place: slice) -> list[list[int]]: ...
    def __getitem__(self, place: int | slice) -> list[int] | list[list[int]]:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        number = range(len(self))[place]
        ids: list[int] = self._ids[self._ends[number] : self._ends[number + 1]].tolist()
        return ids


def sentence_ids(
    teacher_folder: Path, texts: Iterable[str], *, prompt: str | None, whole: bool = False, folder: Path | None = None
) -> TokenIds:
    """Return the token ids of texts, special tokens and prompt included, in a nameless file in the folder.

    They are truncated to 256 tokens, or fewer if the teacher takes fewer; `whole` texts only where the teacher ends.
    """
    loaded = load_tokenizer(teacher_folder)
    tokenizer = loaded.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens(teacher_folder, loaded, whole=whole))
    prompted = (f"{prompt}{text}" for text in texts) if prompt else iter(texts)
    blocks = iter(lambda: list(islice(prompted, _TEXTS_AT_ONCE)), [])
    return TokenIds(([encoding.ids for encoding in tokenizer.encode_batch_fast(block)] for block in blocks), folder)

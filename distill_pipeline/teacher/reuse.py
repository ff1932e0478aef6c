"""Reuse parts of earlier outputs that encode exactly the same texts.

A larger sample of a corpus begins with the passages of a smaller one, and so does one beside other generated texts.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from distill_pipeline.store.disk import sha256_of
from distill_pipeline.store.embeddings import Ledger


@dataclass(frozen=True)
class EarlierOutput:
    """An output whose texts were encoded by the same teacher, with the same libraries, on the same kind of machine.

    Attributes:
        folder: Holds the parts.
        parts: The sha256 of each part by its file name.
        precision: The precision in which the teacher ran.
        forward: The name of the forward pass that ran.
        device: The device on which it ran.
    """

    folder: Path
    parts: Mapping[str, str]
    precision: str
    forward: str
    device: str


def reuse_parts(
    wanted: Mapping[str, Sequence[str]], folder: Path, ledger: Ledger, earlier: Sequence[EarlierOutput], *, device: str
) -> None:
    """Copy those of the wanted parts that earlier outputs hold, and mark them as finished.

    A part's bytes follow from its texts, the teacher, and how and where it runs. So an earlier part of the same texts
    is the part that would be made. One that was removed or changed since is skipped.

    Args:
        wanted: The texts of each part, by its file name.
        folder: Where to put the parts.
        ledger: Of that folder; its plan names the precision and the forward pass.
        earlier: The outputs to search.
        device: Where the teacher runs now.
    """
    now = ledger.plan["precision"], ledger.plan["forward"], device
    alike = [output for output in earlier if (output.precision, output.forward, output.device) == now]
    if not alike:
        return
    missing = {tuple(texts): name for name, texts in wanted.items() if not ledger.has(folder / name)}
    for output in alike:
        for source, digest in output.parts.items():
            if not missing:
                return
            texts = read_texts(output.folder / source)
            if texts in missing and _copy(output.folder / source, folder / missing[texts], digest):
                ledger.add(folder / missing.pop(texts), digest)


def read_texts(part: Path) -> tuple[str, ...]:
    """Return the texts of a part, or none if it can't be read."""
    try:
        return tuple(pq.read_table(part, columns=["text"])["text"].to_pylist())
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return ()


def _copy(source: Path, target: Path, digest: str) -> bool:
    """Copy a file if it has this sha256; return whether it was copied."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.copyfile(source, partial)
    except OSError:
        return False
    if sha256_of(partial) != digest:
        partial.unlink()
        return False
    partial.replace(target)
    return True

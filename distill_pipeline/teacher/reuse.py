"""Texts that were encoded before: parts of earlier outputs that hold the very texts which are wanted now.

A corpus of which more is sampled, or that is encoded beside other generated texts, begins with the same passages.
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
    """Finished parts of texts, made by the same teacher, with the same libraries on the same kind of machine.

    Attributes:
        folder: Where they are.
        parts: The sha256 of each by its file's name.
        precision: In which arithmetic the teacher made them.
        forward: By which forward pass.
        device: On which device.
    """

    folder: Path
    parts: Mapping[str, str]
    precision: str
    forward: str
    device: str


def take_over(
    wanted: Mapping[str, Sequence[str]], folder: Path, ledger: Ledger, earlier: Sequence[EarlierOutput], *, device: str
) -> None:
    """Copy what earlier outputs hold of the wanted parts, and note it as finished.

    A part's bytes follow from its texts, the teacher, and how and where it runs, so one of the same texts is the part
    that would be made. One that is gone or was changed since is left.

    Args:
        wanted: The texts of each part, by its file's name.
        folder: Where to put them.
        ledger: Of that folder; its plan names the arithmetic and the forward pass.
        earlier: Where to look.
        device: Where the teacher is at work now.
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
            texts = texts_of(output.folder / source)
            if texts in missing and _copy(output.folder / source, folder / missing[texts], digest):
                ledger.add(folder / missing.pop(texts), digest)


def texts_of(part: Path) -> tuple[str, ...]:
    """Return the texts of a part; none if it can't be read."""
    try:
        return tuple(pq.read_table(part, columns=["text"])["text"].to_pylist())
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return ()


def _copy(source: Path, target: Path, digest: str) -> bool:
    """Copy a file if it has the bytes that it should have."""
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

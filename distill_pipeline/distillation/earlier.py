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

from distill_pipeline.disk import sha256_of
from distill_pipeline.distillation.parts import Ledger

Texts = Sequence[str]


@dataclass(frozen=True)
class EarlierOutput:
    """Finished parts of texts, made by the teacher that is at work now.

    Attributes:
        folder: Where they are.
        parts: The sha256 of each by its file's name.
        precision: In which arithmetic the teacher made them.
        forward: By which forward pass (see `plan_of`).
    """

    folder: Path
    parts: Mapping[str, str]
    precision: str
    forward: str


def take_over(wanted: Mapping[str, Texts], folder: Path, ledger: Ledger, earlier: Sequence[EarlierOutput]) -> None:
    """Copy what earlier outputs hold of the wanted parts, and note it as finished.

    A part's bytes follow from its texts, the teacher, the arithmetic and the forward pass, so one of the same texts
    is the part that would be made. One that is gone or was changed since is left.

    Args:
        wanted: The texts of each part, by its file's name.
        folder: Where to put them.
        ledger: Of that folder; its plan names the arithmetic and the forward pass.
        earlier: Where to look.
    """
    arithmetic = ledger.plan["precision"], ledger.plan["forward"]
    alike = [output for output in earlier if (output.precision, output.forward) == arithmetic]
    missing = {tuple(texts): name for name, texts in wanted.items() if not ledger.has(folder / name)}
    for output in alike:
        for source, digest in output.parts.items():
            if not missing:
                return
            name = missing.get(_texts_of(output.folder / source))
            if name is not None and _copy(output.folder / source, folder / name, digest):
                ledger.add(folder / name, digest)
                missing = {texts: other for texts, other in missing.items() if other != name}


def _texts_of(part: Path) -> tuple[str, ...]:
    try:
        return tuple(pq.read_table(part, columns=["text"])["text"].to_pylist())
    except (OSError, pa.ArrowException):
        return ()


def _copy(source: Path, target: Path, digest: str) -> bool:
    """Copy a file if it has the bytes that it should have."""
    try:
        shutil.copyfile(source, target)
    except OSError:
        return False
    return sha256_of(target) == digest

"""Reuse parts of earlier outputs that encode exactly the same texts.

A larger sample of a corpus begins with the passages of a smaller one, and so does one beside other generated texts.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from distill_pipeline.store.disk import sha256_of
from distill_pipeline.store.embeddings import Ledger

EarlierOutput = tuple[Path, Mapping[str, Any]]
"""Folder and manifest of an output of the same teacher, made with the same libraries on the same kind of machine."""


def reuse_parts(
    wanted: Iterable[tuple[str, Sequence[str]]],
    folder: Path,
    ledger: Ledger,
    earlier: Sequence[EarlierOutput],
    ran: Mapping[str, str],
) -> None:
    """Copy the wanted parts that earlier outputs hold, and mark them as finished.

    A part's bytes follow from its texts, the teacher, and how and where it runs. So an earlier part of the same texts
    is the part that would be made. One that was removed or changed since is skipped.

    Args:
        wanted: Each part's file name and texts.
        folder, ledger: Where to put the parts, and its finished ones.
        earlier: The outputs to search.
        ran: Precision, forward pass and device of the teacher, by their names in a manifest's facts.
    """
    same = [output for output in earlier if ran.items() <= output[1]["facts"].items()]
    missing = {_digest(texts): name for name, texts in wanted if not ledger.has(folder / name)} if same else {}
    for earlier_folder, manifest in same:
        for name, file in manifest["files"].items():
            if not missing:
                return
            texts = _digest(read_texts(earlier_folder / name))
            if texts in missing and _copy(earlier_folder / name, folder / missing[texts], file["sha256"]):
                ledger.add(folder / missing.pop(texts), file["sha256"])


def _digest(texts: Sequence[str]) -> bytes:
    return hashlib.sha256(json.dumps(texts).encode()).digest()


def read_texts(part: Path) -> list[str]:
    """Return the texts of a part, or none if it can't be read."""
    try:
        texts: list[str] = pq.read_table(part, columns=["text"])["text"].to_pylist()
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return []
    return texts


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

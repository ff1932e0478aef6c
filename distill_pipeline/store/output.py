"""A stored output, complete and verified, and the errors that say what is wrong with one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill_pipeline.errors import DistillError
from distill_pipeline.store.disk import MANIFEST, sha256_of
from distill_pipeline.store.keys import StageKey


class StoreError(DistillError):
    """A stage output that is needed can't be used; the message says why and what to do."""


class OutputMissing(StoreError):
    """The output was never made, or was removed."""


class OutputDamaged(StoreError):
    """A file of the output is missing, truncated or changed."""


@dataclass(frozen=True)
class Output:
    """A verified stage output."""

    key: StageKey
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the stage reported about its work (JSON values)."""
        return dict(self.manifest["facts"])

    @property
    def size(self) -> int:
        """Bytes of all files but the manifest."""
        return sum(file["size"] for file in self.manifest["files"].values())


def verify_output(key: StageKey, folder: Path) -> Output:
    """Return the output in a folder after hashing each of its files.

    Raises:
        OutputDamaged: A file is missing or changed, or the manifest can't be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"]
    except (OSError, ValueError, KeyError) as error:
        raise OutputDamaged(f"{folder / MANIFEST} can't be read: {error}") from error
    if manifest.get("fingerprint") != key.fingerprint:
        raise OutputDamaged(f"{folder / MANIFEST} belongs to another fingerprint")
    for name, file in files.items():
        path = folder / name
        if not path.is_file():
            raise OutputDamaged(f"{path} is missing")
        if path.stat().st_size != file["size"]:
            raise OutputDamaged(f"{path} has {path.stat().st_size:,} bytes instead of {file['size']:,}")
        if sha256_of(path) != file["sha256"]:
            raise OutputDamaged(f"{path} was changed: its sha256 differs from the manifest's")
    return Output(key, folder, manifest)

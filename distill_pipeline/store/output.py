"""A stored output, complete and verified, and the errors that say what is wrong with one."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill_pipeline.errors import DistillError
from distill_pipeline.store.disk import MANIFEST, json_bytes, sha256_of
from distill_pipeline.store.keys import StageKey


class StoreError(DistillError):
    """A stage output that is needed can't be used; the message says why and what to do."""


class OutputMissing(StoreError):
    """The output was never made, or was removed."""


class OutputDamaged(StoreError):
    """A file of the output is missing, truncated or changed, or can't be read."""


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

    def compared_with(self, before: Mapping[str, Any]) -> str:
        """Return a line about how its files differ from those of an earlier manifest."""
        old, new = before["files"], self.manifest["files"]
        differing = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        return f"other bytes than before: {', '.join(differing)}" if differing else "the same bytes as before"


_DIGEST = "digest"

_WITHOUT_DIGEST = frozenset(
    {"fingerprint", "made_of", "files", "facts", "seconds", "made_at", "run_id", "machine", "versions"}
)
"""What manifests held before they had a digest. These count as they did; one with another key once had a digest."""


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest as its readers will see it, with a digest over all that it says."""
    plain = json.loads(json_bytes(manifest))
    return {**plain, _DIGEST: hashlib.sha256(json_bytes(plain)).hexdigest()}


def read_manifest(content: bytes) -> dict[str, Any]:
    """Return a manifest. Raises `ValueError` when it was cut short or changed."""
    manifest = json.loads(content)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ValueError("it lists no files")
    plain = {name: value for name, value in manifest.items() if name != _DIGEST}
    if _DIGEST not in manifest and plain.keys() <= _WITHOUT_DIGEST:
        return manifest
    if sealed(plain) != manifest:
        raise ValueError("it was changed: its own digest is another")
    return manifest


def verify_output(key: StageKey, folder: Path) -> Output:
    """Return the output in a folder after hashing each of its files.

    Raises:
        OutputDamaged: A file is missing, changed or can't be read.
    """
    try:
        manifest = read_manifest((folder / MANIFEST).read_bytes())
        files = {name: (file["size"], file["sha256"]) for name, file in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputDamaged(f"{folder / MANIFEST} can't be read: {error}") from error
    if manifest.get("fingerprint") != key.fingerprint:
        raise OutputDamaged(f"{folder / MANIFEST} belongs to another fingerprint")
    for name, (size, digest) in files.items():
        path = folder / name
        try:
            if not path.is_file():
                raise OutputDamaged(f"{path} is missing")
            if path.stat().st_size != size:
                raise OutputDamaged(f"{path} has {path.stat().st_size:,} bytes instead of {size:,}")
            if sha256_of(path) != digest:
                raise OutputDamaged(f"{path} was changed: its sha256 differs from the manifest's")
        except OSError as error:
            raise OutputDamaged(f"{path} can't be read: {error}") from error
    return Output(key, folder, manifest)

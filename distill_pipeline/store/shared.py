"""Stage outputs that several machines share, at an fsspec URL: complete, or absent.

```
STAGE/FINGERPRINT/manifest.json          written last: without it there is no output
STAGE/FINGERPRINT/CONTENT/FILE           CONTENT is made of the files' digests
recipes/RECIPE/STAGE.json                the inputs that a recipe's stage was last made of
```

No lock reaches from one machine to another. Two machines that make the same output at once both upload it, and both
uploads are valid: on the same kind of processor they have the same bytes and the same place; otherwise each has its
own CONTENT folder. The manifest that is written last wins, and either names only files that exist. An upload that
was cut short has no manifest; the next run of that machine repeats it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from distill_pipeline.store.disk import MANIFEST, json_bytes
from distill_pipeline.store.keys import StageKey, fingerprint
from distill_pipeline.store.output import Output, OutputDamaged, read_manifest, verify_output
from distill_pipeline.store.remote_folder import RemoteFolder

STORE_URL = "DISTILL_STORE_URL"
"""The environment variable with the URL."""

_MARKER = "distill-store.json"
_LAYOUT = json_bytes({"layout": 1})


@lru_cache
def remote_store(url: str) -> RemoteStore:
    """Return the shared store at this URL; it is opened once per process.

    Raises:
        RemoteError: The URL, its bucket or the credentials can't be used.
    """
    store = RemoteStore(RemoteFolder(url, STORE_URL))
    store.open()
    return store


class RemoteStore:
    """The outputs below one URL. Each method raises `RemoteError` when the URL can't be reached."""

    def __init__(self, files: RemoteFolder) -> None:
        self.files = files
        self.url = files.url

    def open(self) -> None:
        """Check that the store can be used, before any work starts."""
        if self.files.read(_MARKER) is None:
            self.check_writable()

    def check_writable(self) -> None:
        """Check that an output can be uploaded, before hours are spent on making it."""
        self.files.write(_MARKER, _LAYOUT)

    def contains(self, key: StageKey) -> bool:
        """Whether the output's manifest is in the store."""
        return self.files.has(_path(key, MANIFEST))

    def manifest(self, key: StageKey) -> Mapping[str, Any] | None:
        """Return an output's manifest without looking at its files, or None when it is missing or can't be read."""
        try:
            return read_manifest(self.files.read(_path(key, MANIFEST)) or b"")
        except ValueError:
            return None

    def fetch(self, key: StageKey, folder: Path) -> Output:
        """Copy an output into a folder and hash each of its files.

        Raises:
            OutputDamaged: A file is missing or changed, or the manifest can't be read.
        """
        manifest = self.manifest(key)
        place = f"{self.url}/{_path(key)}"
        if manifest is None or not isinstance(manifest.get("files"), dict):
            raise OutputDamaged(f"{place}/{MANIFEST} can't be read")
        if not all((folder / name).resolve().is_relative_to(folder.resolve()) for name in manifest["files"]):
            raise OutputDamaged(f"{place}/{MANIFEST} names a file outside of the output")
        folder.mkdir(parents=True, exist_ok=True)  # an output may be facts alone
        for name in manifest["files"]:
            try:
                self.files.get(_path(key, _content(manifest), name), folder / name)
            except FileNotFoundError as error:
                raise OutputDamaged(f"{place}: {name} is missing") from error
        (folder / MANIFEST).write_bytes(json_bytes(manifest))
        try:
            return verify_output(key, folder)
        except OutputDamaged as damage:
            raise OutputDamaged(f"{place}: {damage}") from damage

    def publish(self, output: Output) -> None:
        """Upload an output, its manifest last."""
        content = _content(output.manifest)
        for name in sorted(output.manifest["files"]):
            self.files.put(_path(output.key, content, name), output.folder / name)
        self.files.write(_path(output.key, MANIFEST), json_bytes(output.manifest))

    def record_inputs(self, recipe_name: str, key: StageKey) -> None:
        """Record what a recipe's stage was last made of, for all machines."""
        self.files.write(f"recipes/{recipe_name}/{key.stage}.json", json_bytes(key.record))

    def record(self, recipe_name: str, stage: str) -> Mapping[str, Any] | None:
        """Return the record of a recipe's stage, or None."""
        return _mapping(self.files.read(f"recipes/{recipe_name}/{stage}.json"))


def _path(key: StageKey, *names: str) -> str:
    return "/".join((key.stage, key.fingerprint, *names))


def _content(manifest: Mapping[str, Any]) -> str:
    """Return the folder of an output's files: other bytes for the same inputs never replace files being read."""
    return fingerprint(manifest["files"])[:16]


def _mapping(content: bytes | None) -> Mapping[str, Any] | None:
    try:
        value = json.loads(content or b"null")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

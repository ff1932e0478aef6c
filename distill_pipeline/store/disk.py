"""Files and folders that are complete or absent, their digests, and locks that end with their process."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from filelock import FileLock, Timeout

MANIFEST = "manifest.json"
"""The file that describes a stage's output; written last, and not listed in itself."""


def sha256_of(path: Path) -> str:
    """Return the file's sha256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Stamp(NamedTuple):
    """What changes when a file does.

    A file that is written in place twice within the clock's grain keeps its stamp; one that replaces another, as all
    of the store's do, doesn't.
    """

    path: Path
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """Return the stamp of each file."""
    found = ((path, path.stat()) for path in paths)
    return tuple(Stamp(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in found)


def file_table(folder: Path) -> dict[str, dict[str, Any]]:
    """Return `{relative name: {sha256, size}}` of every file below the folder but the manifest and hidden files."""
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "size": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST and not path.name.startswith(".")
    }


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 when there is nothing.

    What a run moves or removes meanwhile isn't counted.
    """
    if not path.is_dir():
        return _size(path)
    return sum(_size(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def json_bytes(value: object) -> bytes:
    """Return a value as indented JSON with sorted keys, so that equal values have equal bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON; a reader sees the old file or the new one, never half of it."""
    # Not the process id: machines that share a folder may have equal ones.
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    partial.write_bytes(json_bytes(value))
    partial.replace(path)


def replace_folder(source: Path, target: Path) -> None:
    """Move a folder to the place of another; a reader of the target never sees a mixture of the two."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that the system releases when the process dies; `on_wait` is called if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

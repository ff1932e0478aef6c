"""Files and folders that are complete or absent, and their digests."""

import ctypes
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

MANIFEST = "manifest.json"
"""The file that describes a stage's output; written last, and not listed in itself."""


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


_SETTLED_NS = 2_000_000_000


def sha256_of(path: Path) -> str:
    """Return the file's sha256 as 64 hexadecimal digits; a process reads a file once, while its stamp stays."""
    [file] = stamps([path])
    if time.time_ns() - file.ctime_ns < _SETTLED_NS:  # it may be written again within the clock's grain
        return _read_sha256(path)
    return _sha256_by_stamp(file)


@lru_cache(maxsize=4096)
def _sha256_by_stamp(file: Stamp) -> str:
    return _read_sha256(file.path)


def _read_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    try:
        partial.write_bytes(json_bytes(value))
        partial.replace(path)
    finally:
        remove(partial)


def replace_folder(source: Path, target: Path) -> None:
    """Move a folder to the place of another in one step, and remove that one.

    Whoever opens a file by its path finds that of the old folder or of the new one. Where the system can't exchange two
    folders, there is none for a moment; killed then, `restore_folder` puts the old one back.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.with_name(f".{target.name}.{uuid4().hex}.old")
    if _moved_or_exchanged(source, target):
        if os.path.lexists(source):
            source.rename(old)
    else:
        target.rename(old)
        source.rename(target)
    remove(old)


def restore_folder(target: Path) -> None:
    """Put back the folder that a killed `replace_folder` had moved aside, if its place is empty."""
    aside = sorted(target.parent.glob(f".{target.name}.*.old"), key=lambda path: path.stat().st_mtime_ns)
    if aside and not os.path.lexists(target):
        aside[-1].rename(target)


def _moved_or_exchanged(source: Path, target: Path) -> bool:
    """Move a folder to a place that is empty, or exchange the two; return whether that is possible here."""
    while True:
        if not os.path.lexists(target):
            try:
                source.rename(target)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                    raise
            else:
                return True
        failed = _exchange()(os.fsencode(source), os.fsencode(target))
        if failed != errno.ENOENT or not source.exists():  # else the target has gone meanwhile
            return not failed


@cache
def _exchange() -> Callable[[bytes, bytes], int]:
    """Return the system's function that exchanges two paths, which returns an error's number or 0."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):  # Linux
        working_folder, exchange = -100, 2
        return lambda a, b: libc.renameat2(working_folder, a, working_folder, b, exchange) and ctypes.get_errno()
    if hasattr(libc, "renamex_np"):  # macOS
        swap = 2
        return lambda a, b: libc.renamex_np(a, b, swap) and ctypes.get_errno()
    return lambda *_: errno.ENOSYS


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as that is possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def take_over(source: Path, folder: Path) -> None:
    """Let a folder have the files of another one, which may be in use: finished files are linked, hidden ones copied.

    What can't be read is left out. Hidden files come last, since they say which others are finished.
    """
    for path in sorted(source.glob("*"), key=lambda path: path.name.startswith(".")):
        with suppress(OSError):
            if not path.name.startswith("."):
                try:
                    (folder / path.name).hardlink_to(path)
                except OSError:
                    shutil.copyfile(path, folder / path.name)
            elif path.suffix != ".partial":
                shutil.copyfile(path, folder / path.name)


def let_others_read(folder: Path, like: Path) -> None:
    """Give the files below a folder the mode of `like`, which this process wrote plainly.

    Some libraries write through temporary files, which only their owner may read, whatever the umask says.
    """
    mode = like.stat().st_mode & 0o777
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o777 != mode:
            path.chmod(mode)

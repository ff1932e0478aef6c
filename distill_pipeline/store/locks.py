"""Locks that end with their process, and whether a file system has any."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

_NO_LOCK = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.EISDIR})


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that the system releases when the process dies; `on_wait` is called if another process holds it.

    Where there are no locks, go on without: nothing that is finished depends on them (see `locks_work`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCK:
            raise
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds this lock, as far as can be known: one that can't be opened counts as held."""
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError as error:
        return error.errno not in _NO_LOCK


@cache
def locks_work(folder: Path) -> bool:
    """Whether a lock in this folder keeps others out; on some network file systems it doesn't."""
    probe = folder / f".probe.{uuid4().hex}.lock"
    try:
        with locked(probe, lambda: None):
            return is_held(probe)
    finally:
        with suppress(OSError):
            probe.unlink()

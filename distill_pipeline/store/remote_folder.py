"""Files at fsspec URLs: whole or absent, and faults that say what to do. Knows nothing of stages or teachers.

Credentials come from the environment alone, as the driver reads them (`AWS_*`, `AWS_ENDPOINT_URL`, `FSSPEC_S3_*`);
no message repeats one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from distill_pipeline.errors import DistillError, install_hint

_WHOLE_BY_THEMSELVES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})
"""Protocols of object stores: an object is there once all of it is, so it needs no other name until then."""

_EXTRAS = {"s3": "s3", "s3a": "s3"}
_PASSWORD = re.compile(r"^(?P<scheme>[^:/]+://)[^@/]*:[^@/]*@")


class RemoteError(DistillError):
    """A URL, bucket or credentials that can't be used; the message says why and what to do."""


def masked(url: str) -> str:
    """Return the URL without user and password."""
    return re.sub(r"^([^:/]+://)[^@/]*@", r"\1***@", url)


class RemoteFolder:
    """A folder at an fsspec URL, such as `s3://bucket/prefix`.

    Args:
        url: Where.
        setting: The name under which a person gave the URL; errors name it.

    Raises:
        RemoteError: It isn't such a URL, it holds a password, or its driver isn't installed. Asks no server.
    """

    def __init__(self, url: str, setting: str) -> None:
        import fsspec

        self.url, self.setting = masked(url.rstrip("/")), setting
        protocol, separator, place = url.partition("://")
        if not separator or not place.strip("/"):
            raise self._error("it isn't a URL of a folder; write s3://BUCKET/PREFIX, or another that fsspec knows")
        if _PASSWORD.match(url):
            raise self._error("it holds a password; give credentials by the environment, such as AWS_SECRET_ACCESS_KEY")
        try:
            self._files, self.path = fsspec.core.url_to_fs(url.rstrip("/"))
        except ImportError as error:
            extra = _EXTRAS.get(protocol)
            remedy = install_hint(extra) if extra else str(error)
            raise self._error(f"the driver of {protocol}:// isn't installed: {remedy}") from error
        except ValueError as error:
            raise self._error(f"{error}; write s3://BUCKET/PREFIX, or another that fsspec knows") from error
        self._whole_by_itself = protocol in _WHOLE_BY_THEMSELVES

    def has(self, name: str) -> bool:
        """Whether there is a file of this name. Raises `RemoteError` when that can't be told."""
        with self._faults():
            self._files.invalidate_cache()
            return bool(self._files.isfile(f"{self.path}/{name}"))

    def read(self, name: str) -> bytes | None:
        """Return a small file's content, or None when it isn't there. Raises `RemoteError`."""
        with self._faults():
            try:
                content: bytes = self._files.cat_file(f"{self.path}/{name}")
            except FileNotFoundError:
                return None
            return content

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; a reader sees the old one or the new one. Raises `RemoteError`."""
        with self._faults(), self._appearing_whole(f"{self.path}/{name}") as path:
            self._files.pipe_file(path, content)

    def put(self, files: Mapping[str, Path]) -> None:
        """Copy local files to here, by name; each appears whole. Raises `RemoteError`."""
        for name, file in files.items():
            with self._faults(), self._appearing_whole(f"{self.path}/{name}") as path:
                self._files.put_file(str(file), path)

    def get(self, name: str, file: Path) -> None:
        """Copy a file from here; it appears whole.

        Raises:
            FileNotFoundError: It isn't there.
            RemoteError: It can't be had.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.partial")
        with self._faults(missing_is_a_fault=False):
            self._files.get_file(f"{self.path}/{name}", str(partial))
        partial.replace(file)

    @contextmanager
    def _appearing_whole(self, path: str) -> Iterator[str]:
        """Give the path to write to, and give the file its name when it is written."""
        if self._whole_by_itself:
            # No folders either: S3's driver would make a missing bucket for them.
            yield path
            return
        folder, _, name = path.rpartition("/")
        self._files.makedirs(folder, exist_ok=True)
        partial = f"{folder}/.{name}.{uuid4().hex}.partial"
        yield partial
        self._files.mv(partial, path)

    @contextmanager
    def _faults(self, *, missing_is_a_fault: bool = True) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if not missing_is_a_fault:
                raise
            raise self._error(f"no such bucket or folder ({error}); make it, or mend the name") from error
        except PermissionError as error:
            raise self._error(f"access is denied ({error}); look at the credentials and what they may do") from error
        except OSError as error:
            raise self._error(f"{type(error).__name__}: {error}") from error
        except _driver_errors() as error:
            remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
            said = f"{error}; {remedy}" if "credentials" in str(error) else str(error)
            raise self._error(said) from error

    def _error(self, reason: str) -> RemoteError:
        return RemoteError(f"{self.setting}={self.url}: {reason}")


def _driver_errors() -> tuple[type[Exception], ...]:
    """Return the errors of S3's client that are no `OSError`, if it is loaded."""
    exceptions: Any = sys.modules.get("botocore.exceptions")
    return (exceptions.BotoCoreError, exceptions.ClientError) if exceptions else ()

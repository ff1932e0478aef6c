"""Files at fsspec URLs: complete or absent, with errors that say what to do. Knows nothing of stages or teachers.

Credentials come only from the environment, as the driver reads them (`AWS_*`, `AWS_ENDPOINT_URL`, `FSSPEC_S3_*`);
no message repeats one.
"""

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from distill_pipeline.credentials import credential_in
from distill_pipeline.errors import DistillError, install_hint

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf"})
"""Protocols where an object becomes visible only when all of it is written."""

_WRITE_A_URL = "write s3://BUCKET/PREFIX, hf://buckets/OWNER/BUCKET/PREFIX, or another that fsspec knows"


class RemoteError(DistillError):
    """A URL, bucket or credentials can't be used; the message says why and what to do."""


class RemoteDenied(RemoteError):
    """The server is there and refuses, such as to write with rights to read alone."""


class RemoteFolder:
    """A folder at an fsspec URL, such as `s3://bucket/prefix`; errors name the setting that holds the URL.

    Raises:
        RemoteError: It isn't such a URL, it holds a credential, or its driver isn't installed. No server is asked.
    """

    def __init__(self, url: str, setting: str) -> None:
        import fsspec

        url = url.rstrip("/")
        protocol, separator, place = url.partition("://")
        credential = credential_in(url)
        self.url = f"{protocol}://***" if credential else re.sub(r"://[^@/]*@", "://***@", url)
        self.setting = setting
        if not separator or not place.strip("/"):
            raise self._error(f"it isn't a URL of a folder; {_WRITE_A_URL}")
        if credential:
            remedy = "give credentials by the environment, such as AWS_SECRET_ACCESS_KEY"
            raise self._error(f"it holds {credential}; {remedy}")
        try:
            self._files, self.path = fsspec.core.url_to_fs(url)
        except ImportError as error:
            remedy = install_hint("s3") if protocol in {"s3", "s3a"} else str(error)
            raise self._error(f"the driver of {protocol}:// isn't installed: {remedy}") from error
        except Exception as error:  # whatever a driver's constructor raises
            raise self._error(f"{error}; {_WRITE_A_URL}") from error
        self._is_object_store = protocol in _OBJECT_STORES

    def has(self, name: str) -> bool:
        """Whether a file of this name exists. Raises `RemoteError` when that can't be determined."""
        with self._faults():
            self._files.invalidate_cache()
            return bool(self._files.isfile(f"{self.path}/{name}"))

    def read(self, name: str) -> bytes | None:
        """Return a small file's content, or None when it doesn't exist. Raises `RemoteError`."""
        with self._faults():
            try:
                content: bytes = self._files.cat_file(f"{self.path}/{name}")
            except FileNotFoundError:
                return None
            return content

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; a reader sees the old one or the new one. Raises `RemoteError`."""
        with self._faults(), self._complete(name) as path:
            self._files.pipe_file(path, content)

    def put(self, name: str, file: Path) -> None:
        """Copy a local file to here; it appears when it is complete. Raises `RemoteError`."""
        with self._faults(), self._complete(name) as path:
            self._files.put_file(str(file), path)

    def get(self, name: str, file: Path) -> None:
        """Copy a file from here; it appears when it is complete. Raises `FileNotFoundError`, `RemoteError`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.partial")
        with self._faults(missing_is_a_fault=False):
            self._files.get_file(f"{self.path}/{name}", str(partial))
        partial.replace(file)

    @contextmanager
    def _complete(self, name: str) -> Iterator[str]:
        """Yield the path to write to; the file gets its name once it is written."""
        path = f"{self.path}/{name}"
        if self._is_object_store:
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
        """Turn the driver's errors into `RemoteError`."""
        try:
            yield
        except FileNotFoundError as error:
            if not missing_is_a_fault:
                raise
            raise self._error(f"no such bucket or folder ({error}); make it, or correct the name") from error
        except PermissionError as error:
            raise self._denied(error) from error
        except _s3_errors() as error:
            remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
            raise self._error(f"{error}; {remedy}" if "credentials" in str(error) else str(error)) from error
        except Exception as error:  # each driver has its own, without a common base
            if getattr(error, "errno", None) == errno.EROFS or _status(error) in {401, 403}:
                raise self._denied(error) from error
            raise self._error(f"{type(error).__name__}: {error}") from error

    def _denied(self, error: Exception) -> RemoteDenied:
        return RemoteDenied(str(self._error(f"access is denied ({error}); check the credentials and their rights")))

    def _error(self, reason: str) -> RemoteError:
        # In one line; and a URL of a server's may be signed.
        reason = re.sub(r"\?\S+=\S+", "?***", " ".join(reason.split()))
        return RemoteError(f"{self.setting}={self.url}: {reason}")


def _status(error: Exception) -> int | None:
    """Return the HTTP status of a driver's error, if it tells one."""
    return getattr(getattr(error, "response", error), "status_code", None)


def _s3_errors() -> tuple[type[Exception], ...]:
    """Return the errors of S3's client that are no `OSError`, if it is loaded."""
    exceptions: Any = sys.modules.get("botocore.exceptions")
    return (exceptions.BotoCoreError, exceptions.ClientError) if exceptions else ()

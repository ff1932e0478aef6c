"""A teacher's files from the Hub: whole, as their addresses say, and nowhere but in the cache."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from distill_pipeline.errors import TeacherError
from distill_pipeline.hub.access import Patience, hub_status, is_transient, short_reason
from distill_pipeline.store.disk import sha256_of

CARD = "README.md"

_FILES = ("*.json", "*.txt", "*.safetensors", "*.model", "*.py")
_PICKLED = ("*.bin",)


def teacher_patterns(allow_pickled_weights: bool) -> tuple[str, ...]:
    """Return the names of the files that a teacher consists of."""
    return (*_FILES, *_PICKLED) if allow_pickled_weights else _FILES


def download(repository: str, commit: str, patience_seconds: float, allow_pickled_weights: bool) -> Path:
    """Return a folder with a teacher's files at a commit, each with the content that its address says.

    Raises:
        TeacherError: They can't be had, come damaged, or their list leads out of its folder.
    """
    import httpx
    from huggingface_hub import snapshot_download

    names = teacher_patterns(allow_pickled_weights)
    patterns = [*names, *(f"*/{pattern}" for pattern in names)]
    patience = Patience(patience_seconds)

    def fetch() -> Path:
        _check_names(repository, commit)
        return Path(snapshot_download(repository, revision=commit, allow_patterns=patterns))

    try:
        folder = patience.retry(fetch)
        if _remove_damaged(folder):
            # The client checks sizes, not contents; once more, without what was damaged.
            folder = patience.retry(fetch)
    except (httpx.HTTPError, OSError) as error:
        raise teacher_error(error, repository, commit) from None
    damaged = _remove_damaged(folder)
    if damaged:
        raise TeacherError(f"teacher {repository}: {', '.join(damaged)} came damaged from the Hub twice; try later")
    return folder


def _check_names(repository: str, commit: str) -> None:
    """Refuse a file list that leads out of its folder, before anything is written.

    While the Hub can't be asked only what is cached already will be used, so there is nothing to refuse.
    """
    import httpx
    from huggingface_hub import HfApi

    try:
        files = HfApi().model_info(repository, revision=commit, timeout=20).siblings or []
    except (httpx.HTTPError, OSError) as error:
        if hub_status(error) is not None and not is_transient(error):
            raise
        return
    for name in (file.rfilename for file in files):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or PureWindowsPath(name).drive:
            raise TeacherError(f"teacher {repository}: the name of its file {name!r} leads out of its folder; refused")


def _remove_damaged(folder: Path) -> list[str]:
    """Remove from the Hub's cache the files whose content isn't what their address says; return their names."""
    damaged = []
    for path in _links(folder):
        blob = path.resolve()
        if blob.is_file() and not _is_content_of(blob):
            damaged.append(path.relative_to(folder).as_posix())
            blob.unlink()
            path.unlink()
    return damaged


def _links(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*")) if path.is_symlink())


def _is_content_of(blob: Path) -> bool:
    """Whether a cached file's name, git's or LFS's address of a content, is that of its content."""
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return sha256_of(blob) == blob.name
    if re.fullmatch(r"[0-9a-f]{40}", blob.name):
        from huggingface_hub.utils.sha import git_hash

        return git_hash(blob.read_bytes()) == blob.name
    return True


def download_card(repository: str, commit: str, patience_seconds: float) -> Path | None:
    """Return the teacher's card, or None when it has none. Raises `TeacherError`."""
    import httpx
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        return Path(Patience(patience_seconds).retry(lambda: hf_hub_download(repository, CARD, revision=commit)))
    except RemoteEntryNotFoundError:
        return None
    except (httpx.HTTPError, OSError) as error:
        raise teacher_error(error, repository, commit) from None


def teacher_error(error: Exception, repository: str, revision: str | None) -> TeacherError:
    """Return why a teacher can't be had from the Hub, for people."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    wanted = f"teacher {repository}" + (f" at revision {revision}" if revision else "")
    if isinstance(error, GatedRepoError):
        return TeacherError(f"{wanted} is gated: accept its conditions on the Hub and set HF_TOKEN")
    if isinstance(error, RevisionNotFoundError):
        return TeacherError(f"{wanted}: the Hub has the repository, but not this revision; check the recipe's revision")
    if hub_status(error) == 401 and not isinstance(error, RepositoryNotFoundError):
        return TeacherError(f"{wanted}: the Hub doesn't accept your token: it is wrong or has expired; set HF_TOKEN")
    if isinstance(error, RepositoryNotFoundError):
        return TeacherError(f"{wanted} is not on the Hub, or is private: check its name, and HF_TOKEN if it is private")
    if isinstance(error, OSError) and error.errno is not None:
        return TeacherError(f"{wanted} can't be stored: {error.strerror}")
    return TeacherError(
        f"{wanted} can't be fetched from the Hub now ({short_reason(error)}); try later, or with more patience_seconds"
    )

"""A teacher's files from the Hub: complete, with the contents their addresses name, and only in the Hub's cache."""

import re
from glob import escape
from pathlib import Path

from distill_pipeline.errors import TeacherError
from distill_pipeline.hub.access import Patience, hub_status, is_transient, short_reason
from distill_pipeline.store.disk import sha256_of
from distill_pipeline.teacher.layout import MODULES, leads_out, own_files, parse_modules, patterns, read_json

CARD = "README.md"

ANSWER_SECONDS = 20.0
"""How long to wait for the Hub's answer to a question about a repository."""


def download(repository: str, commit: str, patience_seconds: float, allow_pickled_weights: bool) -> Path:
    """Return a folder with a teacher's files at a commit, each with the content that its address names.

    Raises:
        TeacherError: They can't be downloaded, arrive damaged, or one's name leads out of the folder.
    """
    import httpx
    from huggingface_hub import snapshot_download

    patience = Patience(patience_seconds)

    def fetch() -> Path:
        names = _names(repository, commit, allow_pickled_weights)
        wanted = patterns(allow_pickled_weights) if names is None else [escape(name) for name in names]
        return Path(snapshot_download(repository, revision=commit, allow_patterns=list(wanted)))

    try:
        folder = patience.retry(fetch)
        if _remove_damaged(folder):  # the client checks sizes, not contents
            folder = patience.retry(fetch)
    except (httpx.HTTPError, OSError) as error:
        raise teacher_error(error, repository, commit) from None
    if damaged := _remove_damaged(folder):
        raise TeacherError(f"teacher {repository}: {', '.join(damaged)} came damaged from the Hub twice; try later")
    return folder


def _names(repository: str, commit: str, allow_pickled_weights: bool) -> list[str] | None:
    """Return the names of the teacher's own files; None while the Hub is out of reach: cached files are used then.

    Raises:
        TeacherError: A name leads out of its folder; refused before anything is written.
    """
    import httpx
    from huggingface_hub import HfApi, hf_hub_download

    try:
        files = HfApi().model_info(repository, revision=commit, timeout=ANSWER_SECONDS).siblings or []
    except (httpx.HTTPError, OSError) as error:
        if hub_status(error) is not None and not is_transient(error):
            raise
        return None
    names = [file.rfilename for file in files]
    for name in names:
        if leads_out(name):
            raise TeacherError(f"teacher {repository}: the name of its file {name!r} leads out of its folder; refused")
    listed = read_json(Path(hf_hub_download(repository, MODULES, revision=commit)), list) if MODULES in names else []
    modules = parse_modules(listed, f"teacher {repository}: {MODULES}")
    return own_files(names, modules, allow_pickled_weights)


def _remove_damaged(folder: Path) -> list[str]:
    """Remove files from the Hub's cache that don't have the content their address names; return their names."""
    damaged = []
    for path in sorted(folder.rglob("*")):
        blob = path.resolve()
        if path.is_symlink() and blob.is_file() and not _has_named_content(blob):
            damaged.append(path.relative_to(folder).as_posix())
            blob.unlink()
            path.unlink()
    return damaged


def _has_named_content(blob: Path) -> bool:
    """Whether a cached file's name, which is git's or LFS's address of a content, fits its content."""
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
    """Return an error that explains why a teacher can't be downloaded from the Hub."""
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

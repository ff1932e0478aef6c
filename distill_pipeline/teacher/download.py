"""A teacher's files from the Hub: complete, with the contents their addresses name, and only in the Hub's cache."""

import re
from glob import escape
from pathlib import Path

from distill_pipeline.errors import TeacherError
from distill_pipeline.hub.access import Patience, hub_status, is_refusal, short_reason
from distill_pipeline.store.disk import sha256_of
from distill_pipeline.teacher.layout import MODULES, leads_out, own_files, parse_modules, read_json, read_modules

ANSWER_SECONDS = 20.0
"""How long to wait for the Hub's answer to a question about a repository."""


class TeacherUnreachable(TeacherError):
    """A file of a teacher can't be had now: the Hub is out of reach, or isn't to be asked."""


def download(repository: str, commit: str, patience_seconds: float, allow_pickled_weights: bool) -> Path:
    """Return a folder with a teacher's files at a commit, each with the content that its address names.

    Raises:
        TeacherError: They can't be downloaded, arrive damaged, or one's name leads out of the folder.
    """
    import httpx
    from huggingface_hub import snapshot_download

    patience = Patience(patience_seconds)

    def fetch() -> Path:
        try:
            names = _names(repository, commit, allow_pickled_weights)
        except (httpx.HTTPError, OSError) as error:
            cached = None if is_refusal(error) else _cached(repository, commit, allow_pickled_weights)
            if cached is None:
                raise
            return cached
        return Path(snapshot_download(repository, revision=commit, allow_patterns=[escape(name) for name in names]))

    try:
        folder = patience.retry(fetch)
        if _remove_damaged(folder):  # the client checks sizes, not contents
            folder = patience.retry(fetch)
    except (httpx.HTTPError, OSError) as error:
        raise teacher_error(error, repository, commit) from None
    if damaged := _remove_damaged(folder):
        raise TeacherError(f"teacher {repository}: {', '.join(damaged)} came damaged from the Hub twice; try later")
    return folder


def _names(repository: str, commit: str, allow_pickled_weights: bool) -> list[str]:
    """Return the names of the teacher's own files.

    Raises:
        TeacherError: A name leads out of its folder; refused before anything is written.
    """
    from huggingface_hub import HfApi, hf_hub_download

    files = HfApi().model_info(repository, revision=commit, timeout=ANSWER_SECONDS).siblings or []
    names = [file.rfilename for file in files]
    for name in names:
        if leads_out(name):
            raise TeacherError(f"teacher {repository}: the name of its file {name!r} leads out of its folder; refused")
    listed = read_json(Path(hf_hub_download(repository, MODULES, revision=commit)), list) if MODULES in names else []
    modules = parse_modules(listed, f"teacher {repository}: {MODULES}")
    return own_files(names, modules, allow_pickled_weights)


def _cached(repository: str, commit: str, allow_pickled_weights: bool) -> Path | None:
    """Return the folder of a teacher's files at a commit in the Hub's cache, or None if that lacks some of them."""
    folder, names = cached_snapshot(repository, commit), _cached_names(repository, commit)
    if folder is None or names is None:  # what an older client left out is noticed when the files are looked at
        return folder
    own = own_files(names, read_modules(folder), allow_pickled_weights)
    return folder if all((folder / name).is_file() for name in own) else None


def _cached_names(repository: str, commit: str) -> list[str] | None:
    """Return the names of all files of a repository at a commit, or None if the Hub's cache doesn't hold them."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return [file.path for file in get_cached_repo_tree(repository, revision=commit)]
    except CachedRepoTreeNotFoundError:
        return None


def cached_snapshot(repository: str, revision: str | None) -> Path | None:
    """Return the folder, named after its commit, of what the Hub's cache holds of a revision, if it holds any."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # No patterns: the client would miss files that no teacher needs.
        return Path(snapshot_download(repository, revision=revision, allow_patterns=[], local_files_only=True))
    except LocalEntryNotFoundError:
        return None


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


def download_file(repository: str, commit: str, name: str, patience_seconds: float) -> Path | None:
    """Return one small file of a teacher, or None when it has none of this name.

    Raises:
        TeacherUnreachable: The Hub is out of reach, and its cache doesn't hold the file.
        TeacherError: The Hub refuses.
    """
    import httpx
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    if name not in (_cached_names(repository, commit) or [name]):
        return None
    try:
        return Path(Patience(patience_seconds).retry(lambda: hf_hub_download(repository, name, revision=commit)))
    except RemoteEntryNotFoundError:
        return None
    except (httpx.HTTPError, OSError) as error:
        raise teacher_error(error, repository, commit) from None


def teacher_error(error: Exception, repository: str, revision: str | None) -> TeacherError:
    """Return an error that explains why a teacher can't be downloaded from the Hub."""
    from huggingface_hub import is_offline_mode
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
    if is_offline_mode():
        problem = "isn't in the Hub's cache, and HF_HUB_OFFLINE says not to ask the Hub"
        way_out = f"unset that, or fill the cache with `hf download {repository}`"
    else:
        problem = f"can't be fetched from the Hub now ({short_reason(error)})"
        way_out = "try later, or with more patience_seconds"
    return TeacherUnreachable(f"{wanted} {problem}: {way_out}")

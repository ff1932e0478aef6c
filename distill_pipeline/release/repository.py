"""What a Hub repository holds at one commit, and how a release folder differs from it. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from distill_pipeline.hub.access import Patience
from distill_pipeline.hub.explain import HubError
from distill_pipeline.release.provenance import released_names, without_run_details
from distill_pipeline.store.disk import sha256_of
from distill_pipeline.student.files import PROVENANCE

if TYPE_CHECKING:
    from huggingface_hub import HfApi

GIT_ATTRIBUTES = ".gitattributes"
"""Kept by the Hub itself, which adds a line when a large file needs one; never part of a release."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository: its size in bytes, and its sha256 (LFS) or git hash."""

    size: int
    digest: str

    def holds(self, path: Path) -> bool:
        """Whether a local file has the same content."""
        if self.size != path.stat().st_size:
            return False
        if len(self.digest) == 64:
            return self.digest == sha256_of(path)
        from huggingface_hub.utils.sha import git_hash

        return self.digest == git_hash(path.read_bytes())


@dataclass(frozen=True)
class Remote:
    """A repository at one commit: the head of its branch, or of main when the branch doesn't exist.

    `files` are all but `.gitattributes`, by name.
    """

    repository: str
    commit: str
    files: Mapping[str, RemoteFile]
    branch_exists: bool = True
    private: bool = False

    def read(self, api: HfApi, name: str) -> bytes | None:
        """Return a file's content, or None when the repository doesn't have it.

        Raises:
            HubError: The content was damaged on the way.
        """
        if name not in self.files:
            return None
        path = Path(api.hf_hub_download(self.repository, name, revision=self.commit))
        if not self.files[name].holds(path):
            path.resolve().unlink()  # the cache would return it again
            raise HubError(f"{self.repository}: {name} came damaged from the Hub; run this again")
        return path.read_bytes()


@dataclass(frozen=True)
class Difference:
    """What a commit must change so that a repository holds a release; false when nothing.

    `expected` is what each file of the repository holds after the change.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    expected: Mapping[str, Path | RemoteFile] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def is_applied(self, remote: Remote) -> bool:
        """Whether a repository holds exactly what it should after the change."""
        return self.expected.keys() == remote.files.keys() and all(
            file.holds(wanted) if isinstance(wanted, Path) else file == wanted
            for name, file in remote.files.items()
            for wanted in (self.expected[name],)
        )


def read_remote(api: HfApi, repository: str, branch: str | None = None) -> Remote | None:
    """Return what a branch, commit or tag holds, or None when there is no such repository.

    For a branch that doesn't exist, return what it would start from: main.

    Raises:
        HfHubHTTPError, httpx.HTTPError: The Hub can't be reached, or refuses.
    """
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.hf_api import RepoFile

    exists = True
    try:
        try:
            info = api.model_info(repository, revision=branch)
        except RevisionNotFoundError:
            info, exists = api.model_info(repository), False
    except RepositoryNotFoundError as error:
        if error.response.status_code != 404:  # 401: the token is wrong, not the name
            raise
        return None
    if info.sha is None:
        raise HubError(f"the Hub names no commit of {repository}")
    tree = api.list_repo_tree(repository, recursive=True, revision=info.sha)
    files = {
        item.path: RemoteFile(item.size, item.lfs.sha256 if item.lfs else item.blob_id)
        for item in tree
        if isinstance(item, RepoFile) and item.path != GIT_ATTRIBUTES
    }
    return Remote(repository, info.sha, files, exists, bool(info.private))


def find_difference(api: HfApi, folder: Path, remote: Remote | None) -> Difference:
    """Return how the files of a release folder differ from a repository's.

    Files of an earlier release that this one lacks are removed; other files stay.
    """
    remote_files = remote.files if remote else {}
    local = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    local.pop(GIT_ATTRIBUTES, None)
    provenance = remote.read(api, PROVENANCE) if remote else None
    removed = (released_names(provenance) & remote_files.keys()) - local.keys()
    kept = {name: file for name, file in remote_files.items() if name not in removed}
    return Difference(
        added=tuple(sorted(local.keys() - remote_files.keys())),
        changed=tuple(sorted(name for name in local.keys() & kept.keys() if not kept[name].holds(local[name]))),
        removed=tuple(sorted(removed)),
        expected={**kept, **local},
    )


def differs_only_in_run(api: HfApi, folder: Path, remote: Remote, found: Difference) -> bool:
    """Whether the two differ only in which run made the same content."""
    if found.added or found.removed:
        return False
    for name in found.changed:
        before = remote.read(api, name)
        content = without_run_details(name, (folder / name).read_bytes())
        if before is None or content is None or content != without_run_details(name, before):
            return False
    return True


def compare(
    api: HfApi, folder: Path, repository: str, branch: str | None, patience: Patience
) -> tuple[Remote | None, Difference]:
    """Return what a repository holds, and how a release folder differs from that.

    Raises:
        HfHubHTTPError, httpx.HTTPError, OSError: The Hub can't be reached, or refuses.
    """
    remote = patience.retry(lambda: read_remote(api, repository, branch))
    return remote, patience.retry(lambda: find_difference(api, folder, remote))

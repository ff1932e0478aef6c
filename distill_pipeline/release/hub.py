"""Publishing a release folder to the Hugging Face Hub, in one commit or none."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distill_pipeline.errors import DistillError
from distill_pipeline.store import sha256_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile


class HubError(DistillError):
    """The Hub can't be used for this release; the message says why and what to do."""


@dataclass(frozen=True)
class HubCommit:
    """Where a release is on the Hub, and whether this call put it there."""

    url: str
    commit: str
    created: bool


def publish(folder: Path, repository: str, *, private: bool, message: str) -> HubCommit:
    """Commit the folder's files to a Hub repository, unless its head holds the same content already.

    Files of the repository that the folder doesn't have are left alone. The commit names the head that it was
    compared with as its parent, so somebody else's commit in between is never overwritten.

    Args:
        folder: The release.
        repository: owner/name; created when it doesn't exist.
        private: Visibility of a repository that is created now.
        message: First line is the commit's title.

    Raises:
        HubError: No token, no right to write, someone else's commit in between, or the Hub is out of reach.
    """
    import httpx
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        head = api.model_info(repository).sha
        changed = _changed_files(api, folder, repository, head)
        if not changed:
            return HubCommit(f"{api.endpoint}/{repository}/commit/{head}", str(head), created=False)
        title, _, description = message.partition("\n")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*commit a data file")  # the golden vectors belong there
            commit = api.create_commit(
                repository,
                [CommitOperationAdd(name, folder / name) for name in changed],
                commit_message=title,
                commit_description=description.strip(),
                parent_commit=head,
            )
    except (HfHubHTTPError, httpx.HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled) as error:
        raise _explained(error, repository) from error
    return HubCommit(commit.commit_url, commit.oid, created=True)


def _changed_files(api: HfApi, folder: Path, repository: str, head: str | None) -> list[str]:
    from huggingface_hub.hf_api import RepoFile

    there = {
        item.path: item
        for item in api.list_repo_tree(repository, recursive=True, revision=head)
        if isinstance(item, RepoFile)
    }
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in names if not _same(folder / name, there.get(name))]


def _same(path: Path, remote: RepoFile | None) -> bool:
    if remote is None or remote.size != path.stat().st_size:
        return False
    if remote.lfs is not None:
        return bool(remote.lfs.sha256 == sha256_of(path))
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)  # as git names a blob
    return bool(remote.blob_id == blob.hexdigest())


def _explained(error: Exception, repository: str) -> HubError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    reasons = {
        401: "the Hub doesn't know you: set HF_TOKEN to a token that may write",
        403: "your token may not write here: use one with the role write, of an account that owns it",
        404: "the Hub has no such owner, or hides the repository from you: check the name and HF_TOKEN",
        409: "someone else is committing at this moment: run the release again",
        412: "someone else committed in between; look at their commit, then run the release again",
    }
    reason = reasons.get(status or 0)
    if reason is None:
        reason = f"the Hub is out of reach ({type(error).__name__}{f' {status}' if status else ''}): try again later"
    return HubError(f"release to {repository}: {reason}. Finished stages are kept.")

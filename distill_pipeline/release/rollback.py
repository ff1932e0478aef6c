"""Going back to an earlier release: a new commit with the old files, after checking them."""

from __future__ import annotations

from collections.abc import Callable

from distill_pipeline.hub.access import Patience
from distill_pipeline.release.publish import Destination, HubCommit, publish
from distill_pipeline.release.verify import PATIENCE_SECONDS, fetched, verify


def rollback(repository: str, to: str, *, branch: str | None = None, log: Callable[[str], None]) -> HubCommit:
    """Make a repository's branch hold again what a tag holds. Its history stays; nothing is rewritten.

    Files that the release of today has and the old one has not are removed; files of others stay.

    Args:
        repository: owner/name.
        to: A tag, or a commit.
        branch: None is main.
        log: Receives what is told to people.

    Raises:
        NotTheRelease: There is no such tag, or what it holds isn't a whole release.
        HubError: The Hub refuses, is out of reach, or someone else committed in between.
    """
    with fetched(repository, to) as (folder, commit):
        checked = verify(folder)
        log(f"{to} ({commit[:12]}) is whole: {checked.files} files")
        destination = Destination(
            repository, branch, message=f"Roll back to {to}\nThe files of commit {commit}, checked before."
        )
        return publish(folder, destination, Patience(PATIENCE_SECONDS, log=log), exactly=True, log=log)

"""Go back to an earlier release: verify its files, then commit them again."""

from __future__ import annotations

from collections.abc import Callable

from distill_pipeline.hub.access import Patience
from distill_pipeline.release.publish import Destination, HubCommit, publish
from distill_pipeline.release.verify import PATIENCE_SECONDS, fetched, verify


def rollback(repository: str, to: str, *, branch: str | None = None, log: Callable[[str], None]) -> HubCommit:
    """Commit to a repository's branch what a tag holds, and return the commit. History is never rewritten.

    Files of the current release that the old one lacks are removed; files from elsewhere stay.

    Args:
        repository: owner/name.
        to: A tag, or a commit.
        branch: None is main.
        log: Receives lines for people.

    Raises:
        VerificationFailed: There is no such tag, or it holds no whole release.
        HubError: The Hub refuses or is out of reach, or someone else committed meanwhile.
    """
    with fetched(repository, to) as (folder, commit):
        checked = verify(folder)
        log(f"{to} ({commit[:12]}) is whole: {checked.files} files")
        destination = Destination(
            repository, branch, message=f"Roll back to {to}\nThe files of commit {commit}, checked before."
        )
        return publish(folder, destination, Patience(PATIENCE_SECONDS, log=log), exactly=True, log=log)

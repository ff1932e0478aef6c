"""Go back to an earlier release: verify its files, then commit them again."""

from collections.abc import Callable

from distill_pipeline.hub.access import Patience
from distill_pipeline.release.destination import Destination
from distill_pipeline.release.publish import HubCommit, publish
from distill_pipeline.release.verify import PATIENCE_SECONDS, fetched, verify


def rollback(repository: str, to: str, *, branch: str | None = None, log: Callable[[str], None]) -> HubCommit:
    """Commit the content of a tag or commit to a repository's branch (None: main), and return the new commit.

    History is never rewritten. Files of the current release that the old one lacks are removed; other files stay.

    Raises:
        VerificationFailed: The tag doesn't exist, or holds no complete release.
        HubError: The Hub refuses or is out of reach, or someone else committed meanwhile.
    """
    with fetched(repository, to) as (folder, commit):
        log(f"{to} ({commit[:12]}) is whole: {verify(folder).files} files")
        message = f"Roll back to {to}\nThe files of commit {commit}, checked before."
        destination = Destination(repository, branch, message=message)
        patience = Patience(PATIENCE_SECONDS, log=log)
        return publish(folder, destination, patience, compare_run_details=True, over_anything=True, log=log)

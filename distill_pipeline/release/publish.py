"""Publish a release folder to the Hugging Face Hub in one commit, or not at all, whatever goes wrong."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distill_pipeline.hub.access import Patience, hub_status, short_reason
from distill_pipeline.hub.explain import HubError, explaining, require_token
from distill_pipeline.recipe.fields import NEXT_TAG
from distill_pipeline.release.destination import Destination, check_private, objection
from distill_pipeline.release.repository import (
    Difference,
    Remote,
    compare,
    differs_only_in_run,
    find_difference,
    read_remote,
)

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True)
class HubCommit:
    """A release's commit on the Hub, and whether this call created it."""

    url: str
    commit: str
    created: bool
    tag: str | None = None


def publish(
    folder: Path,
    destination: Destination,
    patience: Patience,
    *,
    compare_run_details: bool = False,
    expected_head: str | None = None,
    over_anything: bool = False,
    log: Callable[[str], None] = lambda _: None,
) -> HubCommit:
    """Commit the folder's files to a Hub repository, unless its head already has the same content.

    The commit names the head that it was compared with as its parent, so someone else's commit in between is never
    overwritten. When an answer is lost, the repository is read before anything is sent again.

    Args:
        folder: The release.
        destination: Where and how.
        patience: How long to keep trying.
        compare_run_details: Also commit when only details of the run differ.
        expected_head: The commit that the gate compared the release with, if any.
        over_anything: Whether the repository may hold something else than a release of this project.
        log: Receives a line when a lost commit is found.

    Raises:
        HubError: No token, no right to write, something else in the repository, someone else's commit in between, or
            the Hub is out of reach.
    """
    from huggingface_hub import HfApi

    api, name, branch = HfApi(), destination.repository, destination.branch
    with explaining(name):
        remote, found = compare(api, folder, name, branch, patience)
        if remote is None:
            require_token()
            patience.retry(lambda: api.create_repo(name, private=destination.private, exist_ok=True))
            remote, found = compare(api, folder, name, branch, patience)
        if remote is None:
            raise HubError(f"release to {name}: the Hub made the repository, but doesn't show it")
        check_private(remote, destination.private)
        if expected_head is not None and remote.commit != expected_head:
            raise _conflict(name)
        found_there = None if over_anything or destination.pull_request else objection(remote, patience)
        if found_there:
            raise HubError(f"release to {name}: {found_there}")
        if branch and not remote.branch_exists:
            require_token()
            patience.retry(lambda: api.create_branch(name, branch=branch, revision=remote.commit, exist_ok=True))
        if found and (
            compare_run_details or not patience.retry(lambda: differs_only_in_run(api, folder, remote, found))
        ):
            commit = _Attempt(api, folder, destination, remote, found, log).create_commit(patience)
        else:
            commit = HubCommit(_url(api, name, remote.commit), remote.commit, created=False)
        if destination.tag is None:
            return commit
        return replace(commit, tag=patience.retry(lambda: _tag(api, destination, commit)))


@dataclass
class _Attempt:
    """One commit that may need several tries, of which at most one succeeds."""

    api: HfApi
    folder: Path
    destination: Destination
    parent: Remote
    found: Difference
    log: Callable[[str], None]
    may_have_gone_through: bool = False

    def create_commit(self, patience: Patience) -> HubCommit:
        """Try until the commit exists, and return it.

        Raises:
            HubError: There is no token, or someone else committed meanwhile.
        """
        require_token()
        # A pull request of an earlier, killed run may be open already.
        self.may_have_gone_through = self.destination.pull_request
        return patience.retry(self._once)

    def _once(self) -> HubCommit:
        import httpx

        if self.may_have_gone_through and (commit := self._find_commit()):
            return commit
        try:
            return self._send()
        except (OSError, httpx.HTTPError, ValueError) as error:
            if hub_status(error) in {400, 401, 403, 404}:
                raise
            # The commit may exist although its answer was lost or malformed.
            self.may_have_gone_through = True
            if commit := self._find_commit():
                self.log(f"the commit's answer was lost ({short_reason(error)}), but it went through")
                return commit
            if hub_status(error) == 412:
                raise _conflict(self.destination.repository) from error
            raise

    def _send(self) -> HubCommit:
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

        title, _, description = self.destination.message.partition("\n")
        operations: list[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete] = [
            *(CommitOperationAdd(name, self.folder / name) for name in sorted(self.found.added + self.found.changed)),
            *(CommitOperationDelete(name) for name in self.found.removed),
        ]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*commit a data file")  # the golden vectors belong there
            warnings.filterwarnings("ignore", message="Warnings while validating metadata")
            try:
                commit = self.api.create_commit(
                    self.destination.repository,
                    operations,
                    commit_message=title,
                    commit_description=description.strip(),
                    revision=None if self.destination.pull_request else self.destination.branch,
                    create_pr=self.destination.pull_request,
                    parent_commit=self.parent.commit,
                )
            except RuntimeError as error:  # how huggingface_hub and hf_xet wrap a failed upload
                cause = error.__cause__ or error
                if isinstance(cause, OSError):
                    raise cause from error
                raise ConnectionError(f"the upload failed: {type(cause).__name__}") from error
        return HubCommit(commit.pr_url or commit.commit_url, commit.oid, created=True)

    def _find_commit(self) -> HubCommit | None:
        """Return this release's commit if the Hub has it: the first one after the parent, with exactly what was sent.

        Raises:
            HubError: Another commit follows the parent.
        """
        if self.destination.pull_request:
            return self._find_pull_request()
        name, branch = self.destination.repository, self.destination.branch
        head = read_remote(self.api, name, branch)
        if head is None or head.commit == self.parent.commit:
            return None
        if not self.found.is_applied(head):
            after_parent = None
            for commit in self.api.list_repo_commits(name, revision=branch):
                if commit.commit_id == self.parent.commit:
                    break
                after_parent = commit.commit_id
            head = read_remote(self.api, name, after_parent)
            if head is None or not self.found.is_applied(head):
                raise _conflict(name)
        return HubCommit(_url(self.api, name, head.commit), head.commit, created=True)

    def _find_pull_request(self) -> HubCommit | None:
        """Return the head of the open pull request of this title and content, or None."""
        name = self.destination.repository
        title = self.destination.message.partition("\n")[0]
        for discussion in self.api.get_repo_discussions(name, discussion_type="pull_request"):
            if discussion.title != title or discussion.status not in {"open", "draft"}:
                continue
            remote = read_remote(self.api, name, f"refs/pr/{discussion.num}")
            if remote is None or not remote.branch_exists:
                continue
            found = find_difference(self.api, self.folder, remote)
            if not found or differs_only_in_run(self.api, self.folder, remote, found):
                url = f"{self.api.endpoint}/{name}/discussions/{discussion.num}"
                return HubCommit(url, remote.commit, created=False)
        return None


def _tag(api: HfApi, destination: Destination, commit: HubCommit) -> str:
    """Tag the commit unless it already has the tag, and return the tag.

    Raises:
        HubError: The tag is on another commit.
    """
    name = destination.repository
    tags = {tag.name: tag.target_commit for tag in api.list_repo_refs(name).tags}
    wanted = destination.tag or NEXT_TAG
    numbers = {int(tag[1:]): tag for tag in tags if re.fullmatch(r"v\d+", tag)}
    if wanted == NEXT_TAG:
        given = [number for number, tag in numbers.items() if tags[tag] == commit.commit]
        wanted = numbers[max(given)] if given else f"v{max(numbers, default=0) + 1}"
    if wanted not in tags:
        api.create_tag(name, tag=wanted, revision=commit.commit)
    elif tags[wanted] != commit.commit:
        raise HubError(
            f"{name} is released as {commit.url}, but the tag {wanted} is on another commit ({tags[wanted][:12]}); "
            "choose another tag, or 'next'"
        )
    return wanted


def _url(api: HfApi, repository: str, commit: str) -> str:
    return f"{api.endpoint}/{repository}/commit/{commit}"


def _conflict(repository: str) -> HubError:
    return HubError(
        f"release to {repository}: someone else committed in between; nothing was overwritten. Look at their commit, "
        "then run the release again. Finished stages are kept."
    )

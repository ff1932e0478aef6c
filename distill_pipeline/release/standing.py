"""Whether the Hub still holds what was released, as far as is known; it is asked at most once a day."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill_pipeline.hub.access import Patience
from distill_pipeline.hub.explain import HubError, explaining
from distill_pipeline.release.repository import read_remote
from distill_pipeline.store.disk import write_json
from distill_pipeline.store.output import Output

RECEIPT = "receipt.json"
"""The file in the stored output that says what was released, and as which commit."""

SECONDS_BETWEEN_LOOKS = 86_400.0

Standing = tuple[bool, Mapping[str, Any]]
"""Whether the release stands as far as is known, and as of when and of which commit."""


def read_receipt(output: Output) -> dict[str, Any]:
    """Return what a stored output says about its release."""
    receipt: dict[str, Any] = json.loads((output.folder / RECEIPT).read_text(encoding="utf-8"))
    return receipt


def standing(output: Output, branch: str | None, *, pull_request: bool, kept: Path, now: float) -> Standing:
    """Return whether the Hub holds a release; `kept` is a file for what was last seen.

    Others' commits that leave the release's files alone change nothing. A pull request's commit only has to exist.
    """
    receipt = read_receipt(output)
    hub = receipt.get("hub")
    if hub is None:
        return True, {"hub": "the recipe names no repository"}
    try:
        last = json.loads(kept.read_text(encoding="utf-8"))
        before = (bool(last["stands"]), dict(last["seen"])) if last["commit"] == hub["commit"] else None
        if before and 0 <= now - last["at"] < SECONDS_BETWEEN_LOOKS:
            return before
    except (OSError, ValueError, KeyError, TypeError):
        before = None
    try:
        head, problem = _look(hub, branch, receipt["files"], pull_request=pull_request)
    except HubError as error:
        stands, seen = before or (True, {"released_commit": hub["commit"], "looked_at": "never"})
        return stands, {**seen, "not_seen_now": str(error)}
    looked_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    seen = {"released_commit": hub["commit"], "head": head, "looked_at": looked_at}
    if problem:
        seen["problem"] = f"{problem}; --force hub_release releases it again"
    write_json(kept, {"commit": hub["commit"], "at": now, "stands": not problem, "seen": seen})
    return not problem, seen


def _look(
    hub: Mapping[str, Any], branch: str | None, files: Mapping[str, Any], *, pull_request: bool
) -> tuple[str, str]:
    """Return the commit that the branch stands at, and what has become of the release, empty if it is there."""
    from huggingface_hub import HfApi

    api, name, patience = HfApi(), hub["repository"], Patience(0)
    with explaining(name, doing="reading"):
        head = patience.retry(lambda: read_remote(api, name, branch))
        if head is None:
            return "none", f"{name} is no longer on the Hub"
        if head.commit == hub["commit"]:
            return head.commit, ""
        released = patience.retry(lambda: read_remote(api, name, hub["commit"]))
    if released is None or not released.branch_exists:
        return head.commit, f"{name} no longer has the commit {hub['commit'][:12]}: it was made anew or written over"
    changed = sorted(file for file in files if head.files.get(file) != released.files.get(file))
    if pull_request or (head.branch_exists and not changed):
        return head.commit, ""
    if not head.branch_exists:
        return head.commit, f"{name} no longer has the branch {branch}"
    return head.commit, f"{name} was written over at {head.commit[:12]}: {', '.join(changed)}"

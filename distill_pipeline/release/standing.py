"""Whether the Hub still holds what was released, as far as is known; it is asked at most once a day."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from distill_pipeline.chain.stages import RELEASE
from distill_pipeline.hub.access import Patience
from distill_pipeline.hub.explain import HubError, explaining
from distill_pipeline.release.repository import read_remote
from distill_pipeline.store.disk import write_json
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store
from distill_pipeline.store.output import Output

RECEIPT = "receipt.json"
"""The file in the stored output that says what was released, and as which commit."""

SECONDS_BETWEEN_LOOKS = 86_400.0


class Standing(NamedTuple):
    """Whether a release stands as far as is known, what was seen of it and when, and whether the Hub answered now."""

    stands: bool
    seen: Mapping[str, Any]
    asked: bool = False


def read_receipt(output: Output) -> dict[str, Any]:
    """Return what a stored output says about its release."""
    receipt: dict[str, Any] = json.loads((output.folder / RECEIPT).read_text(encoding="utf-8"))
    return receipt


def release_standing(store: Store, recipe_name: str, now: float) -> Standing:
    """Return whether the Hub holds what was last released of a recipe, whatever its settings and teacher are now.

    Others' commits that leave the release's files alone change nothing. A pull request's commit only has to exist.

    Raises:
        StoreError: The stored output that says what was released is missing or damaged.
    """
    made_of = store.recorded_inputs(recipe_name, RELEASE)
    if made_of is None:
        return Standing(True, {"hub": "this recipe was never released"})
    output = store.get(StageKey.of(made_of))
    receipt, kept = read_receipt(output), store.verdict(output.key)
    hub = receipt.get("hub")
    if hub is None:
        return Standing(True, {"hub": "the recipe names no repository"})
    before = None
    with suppress(OSError, ValueError, KeyError, TypeError):
        last = json.loads(kept.read_text(encoding="utf-8"))
        if last["commit"] == hub["commit"]:
            before = Standing(bool(last["stands"]), dict(last["seen"]))
            if 0 <= now - last["at"] < SECONDS_BETWEEN_LOOKS:
                return before
    fields = made_of["recipe"]
    try:
        head, problem = _look(hub, fields["branch"], receipt["files"], pull_request=fields["pull_request"])
    except HubError as error:
        before = before or Standing(True, {"released_commit": hub["commit"], "looked_at": "never"})
        return Standing(before.stands, {**before.seen, "not_seen_now": str(error)})
    looked_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    seen = {"released_commit": hub["commit"], "head": head, "looked_at": looked_at}
    if problem:
        seen["problem"] = f"{problem}; --force hub_release releases it again"
    write_json(kept, {"commit": hub["commit"], "at": now, "stands": not problem, "seen": seen})
    return Standing(not problem, seen, asked=True)


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

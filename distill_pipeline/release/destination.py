"""Where a release goes, and what speaks against that; known before any work, and looked at again before it is sent.

Only reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from distill_pipeline.hub.access import Patience
from distill_pipeline.hub.cards import CARD
from distill_pipeline.hub.explain import HubError, HubUnreachable, explaining
from distill_pipeline.recipe.recipe import Recipe, is_folder
from distill_pipeline.release.ingredients import is_private
from distill_pipeline.release.provenance import is_release
from distill_pipeline.release.repository import Remote, read_remote
from distill_pipeline.teacher.download import TeacherUnreachable
from distill_pipeline.teacher.source import TeacherSource

_OF_A_NEW_REPOSITORY = re.compile(rf"{re.escape(CARD)}|LICENSE(\.\w+)?|\..*")
_NAMED = 3


@dataclass(frozen=True)
class Destination:
    """Where and how a release goes to the Hub; the fields are the recipe's."""

    repository: str
    branch: str | None = None
    private: bool = False
    pull_request: bool = False
    tag: str | None = None
    message: str = "Release a distilled static model"

    @classmethod
    def of(cls, recipe: Recipe, *, private: bool) -> Destination:
        """Return where a recipe with a repository is released; `private` is what `is_private` says."""
        return cls(
            recipe.repository or "", recipe.branch, private, recipe.pull_request, recipe.tag, recipe.commit_message
        )


def check_private(remote: Remote, private: bool) -> None:
    """Raise `HubError` if a release that is to be private would go to a public repository."""
    if private and not remote.private:
        raise HubError(
            f"release to {remote.repository}: the recipe says private, or says nothing while the teacher is private or "
            "gated, but this repository is public; make it private on the Hub, or set private: false"
        )


def objections(recipe: Recipe, target: Path, remote: Remote | None, patience: Patience) -> list[str]:
    """Return a line for each place of a release that holds something else than a release of this project.

    Args:
        recipe: What is released.
        target: The release's folder in the local registry.
        remote: The repository, if the recipe names one that exists.
        patience: For its files.
    """
    found = [_objection(f"releases/{target.name} here", _names_in(target), partial(_content_in, target))]
    # A pull request changes nothing until someone merges it.
    if remote is not None and not recipe.pull_request:
        found.append(objection(remote, patience))
    return [line for line in found if line]


def objection(remote: Remote, patience: Patience) -> str | None:
    """Return a line about a repository that holds something else than a release of this project, or None.

    Raises:
        HfHubHTTPError, httpx.HTTPError, OSError: The Hub can't be reached, or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    return _objection(remote.repository, remote.files, lambda name: patience.retry(lambda: remote.read(api, name)))


def _objection(place: str, names: Iterable[str], read: Callable[[str], bytes | None]) -> str | None:
    others = sorted(name for name in names if not _OF_A_NEW_REPOSITORY.fullmatch(name))
    if not others or is_release(read):
        return None
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return f"{place} holds something else than a release of distill-pipeline: {', '.join(others[:_NAMED])}{more}"


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _content_in(folder: Path, name: str) -> bytes | None:
    return (folder / name).read_bytes() if (folder / name).is_file() else None


def look_ahead(recipe: Recipe, teacher: TeacherSource, target: Path) -> tuple[list[str], list[str]]:
    """Return the objections to where a recipe would be released, and what else its owner should know of that.

    The Hub is asked without patience: what can't be known now is looked at again when there is something to send.

    Raises:
        HubError: The Hub refuses, or the repository is public but the release isn't to be.
        TeacherError: The Hub refuses to tell of the teacher.
    """
    patience, repository = Patience(0), recipe.repository
    if repository is None:
        return objections(recipe, target, None, patience), []
    from huggingface_hub import HfApi

    try:
        with explaining(repository):
            remote = patience.retry(lambda: read_remote(HfApi(), repository, recipe.branch))
            found = objections(recipe, target, remote, patience)
        if remote is not None:
            check_private(remote, is_private(recipe, teacher))
        note = publicity_note(recipe, teacher, remote)
    except (HubUnreachable, TeacherUnreachable):
        found = objections(recipe, target, None, patience)
        note = f"the Hub is out of reach; {repository} is looked at when there is something to send"
    return found, [note] if note else []


def publicity_note(recipe: Recipe, teacher: TeacherSource, remote: Remote | None) -> str | None:
    """Return who will see a student whose teacher not everyone can see, unless the recipe itself says who.

    Raises:
        TeacherError: The Hub can't be asked about the teacher.
    """
    if recipe.private != "auto":
        return None
    if teacher.hidden:
        return f"the teacher is {teacher.hidden} on the Hub, so {recipe.repository} is private (private: auto)"
    if is_folder(recipe.teacher_location) and not (remote and remote.private):
        return (
            f"{recipe.repository} is public, and so will be the student of the folder {recipe.teacher_label}; "
            "private: true makes a private repository, private: false ends this note"
        )
    return None

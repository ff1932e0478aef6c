"""A release under each fault at each moment: released once, or a clear error and nothing. Run with -s for the table."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from distill_pipeline.hub import access
from distill_pipeline.hub.explain import HubError
from distill_pipeline.release.destination import Destination
from distill_pipeline.release.publish import publish
from distill_pipeline_tests.patience import FakeTime
from distill_pipeline_tests.release.student import make_release
from distill_pipeline_tests.servers.hub import Fault, Hub

REPOSITORY = "me/tiny"
MOMENTS = {
    "look": ("GET", "/api/models/me/tiny"),
    "create": ("POST", "/api/repos/create"),
    "tree": ("GET", "/tree/"),
    "card check": ("POST", "/api/validate-yaml"),
    "preupload": ("POST", "/preupload/"),
    "LFS batch": ("POST", "/objects/batch"),
    "upload": ("PUT", "/lfs/"),
    "commit": ("POST", "/commit/"),
    "refs": ("GET", "/refs"),
    "tag": ("POST", "/tag/"),
}
PASSING = ("429", "500", "502", "503", "504", "drop", "cut", "stall", "lost", "lost 504")
LASTING = ("401", "403", "503", "drop", "429 for an hour")
AFTER_THE_COMMIT = ("refs", "tag")

Row = tuple[str, str, str, int]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A few release folders with different students."""
    root = tmp_path_factory.mktemp("releases")
    return [make_release(root / f"release-{seed}", seed) for seed in range(3)]


@pytest.fixture(scope="module")
def table() -> Iterator[list[Row]]:
    """Rows that are printed in the end."""
    rows: list[Row] = []
    yield rows
    lines = [f"{fault:<24} {moment:<12} {commits:>7}  {outcome}" for fault, moment, outcome, commits in rows]
    sys.stdout.write("\n".join(["", f"{'fault':<24} {'moment':<12} {'commits':>7}  outcome", *lines, ""]))


@pytest.fixture(autouse=True)
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing is given up after a moment."""
    monkeypatch.setattr(access, "ANSWER_TIMEOUT_SECONDS", 0.4)


def attempt(folder: Path, seconds: float = 60, tag: str | None = "next", repository: str = REPOSITORY) -> str:
    """Publish, and return the outcome in words."""
    try:
        commit = publish(folder, Destination(repository, tag=tag), FakeTime().patience(seconds))
    except HubError as error:
        return f"error: {error}"
    return "released" if commit.created else "already released"


def holds(hub: Hub, folder: Path, repository: str = REPOSITORY) -> bool:
    """Whether the head holds exactly the release's bytes."""
    files = {name: content for name, content in hub.repositories[repository].head.files.items() if name[:4] != ".git"}
    return files == {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", PASSING)
def test_a_fault_that_passes_ends_in_one_commit(
    hub: Hub, releases: list[Path], table: list[Row], kind: str, moment: str
) -> None:
    method, path = MOMENTS[moment]
    hub.faults.append(Fault(kind, method, path, times=2 if kind.isdigit() else 1))
    outcome = attempt(releases[0])
    table.append((f"{kind}, passing", moment, outcome, len(hub.releases(REPOSITORY))))
    assert outcome == "released"
    assert len(hub.releases(REPOSITORY)) == 1
    assert holds(hub, releases[0])
    assert hub.repositories[REPOSITORY].refs["refs/tags/v1"] == hub.releases(REPOSITORY)[0].oid


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", LASTING)
def test_a_fault_that_lasts_ends_in_a_clear_error_and_later_in_one_commit(
    hub: Hub, releases: list[Path], table: list[Row], kind: str, moment: str
) -> None:
    method, path = MOMENTS[moment]
    hour = 3600 if kind == "429 for an hour" else None
    hub.faults.append(Fault(kind.partition(" ")[0], method, path, times=10_000, retry_after=hour))
    outcome = attempt(releases[0])
    commits = len(hub.releases(REPOSITORY))
    table.append((f"{kind}, lasting", moment, outcome, commits))
    assert outcome.startswith(f"error: release to {REPOSITORY}: ")
    assert commits == (1 if moment in AFTER_THE_COMMIT else 0)
    hub.faults.clear()
    assert attempt(releases[0]) == ("already released" if commits else "released")
    assert len(hub.releases(REPOSITORY)) == 1
    assert holds(hub, releases[0])
    assert "refs/tags/v1" in hub.repositories[REPOSITORY].refs


def test_a_name_that_cant_be_resolved_is_tried_again_and_then_explained(
    hub: Hub, releases: list[Path], table: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import close_session

    def no_dns(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    close_session()
    with monkeypatch.context() as without_dns:
        without_dns.setattr(socket, "getaddrinfo", no_dns)
        outcome = attempt(releases[0])
    table.append(("DNS failure, lasting", "look", outcome, 0))
    assert "DNS" in outcome
    assert attempt(releases[0]) == "released"


@pytest.mark.parametrize("lost", [False, True])
def test_someone_elses_commit_in_between_is_never_overwritten(
    hub: Hub, releases: list[Path], table: list[Row], lost: bool
) -> None:
    assert attempt(releases[1], tag=None) == "released"
    if lost:  # an answer is lost before, so that it isn't clear whose commit it is
        hub.faults.append(Fault("drop", "POST", "/commit/"))
    hub.faults.append(Fault("race", "POST", "/commit/"))
    outcome = attempt(releases[0])
    table.append(("race" + (" after drop" if lost else ""), "commit", outcome, len(hub.releases(REPOSITORY)) - 2))
    assert "someone else committed in between" in outcome
    assert [commit.title for commit in hub.releases(REPOSITORY)][1:] == ["Someone else"]
    assert attempt(releases[0]) == "released"
    assert hub.repositories[REPOSITORY].head.files["someone.txt"] == b"else"


def test_a_lost_commit_is_found_below_someone_elses_later_one(hub: Hub, releases: list[Path]) -> None:
    hub.create(REPOSITORY)
    hub.faults.append(Fault("lost", "POST", "/commit/"))
    # The look after the lost answer finds two commits: ours, and one on top of it.
    hub.faults.append(Fault("503", "GET", "/api/models/me/tiny", skip=2))
    patience = FakeTime()
    repository = hub.repositories[REPOSITORY]

    def someone_commits(seconds: float) -> None:
        if len(repository.commits) == 2:
            files = {**repository.head.files, "someone.txt": b"else"}
            repository.commit("refs/heads/main", "Someone else", files)

    waiting = access.Patience(60, sleep=someone_commits, clock=lambda: patience.now)
    commit = publish(releases[0], Destination(REPOSITORY), waiting)
    assert commit.created
    assert commit.commit == hub.releases(REPOSITORY)[0].oid
    assert [made.title for made in hub.releases(REPOSITORY)][1:] == ["Someone else"]


def test_200_releases_with_random_faults_end_in_one_commit_of_the_right_bytes_or_in_an_error(
    hub: Hub, releases: list[Path]
) -> None:
    chance = random.Random(20261124)  # noqa: S311
    moments = [moment for moment in MOMENTS.values() if moment[1] not in {"/refs", "/tag/"}]
    outcomes = {"released": 0, "error": 0}
    for number in range(200):
        name = f"me/tiny{number}"
        folder = chance.choice(releases)
        hub.faults[:] = [
            Fault(
                chance.choice([kind for kind in PASSING if kind != "stall"]),
                *chance.choice(moments),
                times=chance.randint(1, 2),
                skip=chance.choice([0, 0, 1]),
                retry_after=chance.choice([None, 1, 20]),
            )
            for _ in range(chance.randint(1, 4))
        ]
        if chance.random() < 0.25 and all("lost" not in fault.kind for fault in hub.faults):
            lasting = chance.choice(["401", "403", "503", "race"])
            hub.faults.insert(0, Fault(lasting, *chance.choice(moments), times=10_000, skip=chance.randint(0, 1)))
        outcome = attempt(folder, seconds=120, tag=None, repository=name)
        ours = [commit for commit in hub.releases(name) if commit.title != "Someone else"]
        outcomes[outcome.partition(":")[0]] += 1
        if outcome == "released":
            assert len(ours) == 1, (number, outcome)
            assert holds(hub, folder, name), number
        else:
            assert not ours, (number, outcome)
    sys.stdout.write(f"\n200 releases with random faults: {outcomes}\n")
    assert outcomes["released"] > 120
    assert outcomes["error"] > 10

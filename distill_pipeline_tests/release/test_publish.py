"""Publishing to the Hub: what is sent, what is left alone, and what is never done twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distill_pipeline.hub.explain import HubError
from distill_pipeline.release.destination import Destination
from distill_pipeline.release.publish import HubCommit, publish
from distill_pipeline.release.rollback import rollback
from distill_pipeline.release.verify import VerificationFailed, fetched, verify
from distill_pipeline_tests.patience import FakeTime
from distill_pipeline_tests.release.student import make_release
from distill_pipeline_tests.servers.hub import READ_TOKEN, TOKEN, Fault, Hub

REPOSITORY = "me/tiny"


def put(folder: Path, repository: str = REPOSITORY, **fields: object) -> HubCommit:
    """Publish with patience that takes no time."""
    return publish(folder, Destination(repository, **fields), FakeTime().patience())  # type: ignore[arg-type]


def test_the_same_content_makes_no_second_commit_also_when_another_run_made_it(hub: Hub, tmp_path: Path) -> None:
    first = put(make_release(tmp_path / "a", run_id="run-1"))
    again = put(make_release(tmp_path / "b", run_id="run-2"))
    assert (first.created, again.created) == (True, False)
    assert again.url == f"{hub.url}/{REPOSITORY}/commit/{first.commit}"
    assert len(hub.releases(REPOSITORY)) == 1


def test_a_card_that_someone_changed_on_the_hub_is_released_again(hub: Hub, tmp_path: Path) -> None:
    folder = make_release(tmp_path / "a")
    put(folder)
    repository = hub.repositories[REPOSITORY]
    repository.commit("refs/heads/main", "edit", {**repository.head.files, "README.md": b"# mine now"})
    assert put(folder).created
    assert repository.head.files["README.md"] == (folder / "README.md").read_bytes()


def test_a_next_release_removes_its_own_old_files_and_leaves_those_of_others(hub: Hub, tmp_path: Path) -> None:
    put(make_release(tmp_path / "a", variants="float32"))
    repository = hub.repositories[REPOSITORY]
    repository.commit("refs/heads/main", "licence", {**repository.head.files, "LICENSE": b"text"})
    put(make_release(tmp_path / "b", seed=1))
    assert "float32/model.safetensors" not in repository.head.files
    assert repository.head.files["LICENSE"] == b"text"


def test_a_private_release_never_goes_to_a_public_repository(hub: Hub, tmp_path: Path) -> None:
    hub.create(REPOSITORY)
    with pytest.raises(HubError, match="but this repository is public; make it private"):
        put(make_release(tmp_path / "a"), private=True)
    assert not hub.releases(REPOSITORY)
    put(tmp_path / "a", "me/new", private=True)
    assert hub.repositories["me/new"].private


def test_a_branch_is_made_and_main_stays_as_it_was(hub: Hub, tmp_path: Path) -> None:
    before = hub.create(REPOSITORY).head.oid
    commit = put(make_release(tmp_path / "a"), branch="candidate")
    assert hub.repositories[REPOSITORY].refs["refs/heads/candidate"] == commit.commit
    assert hub.repositories[REPOSITORY].head.oid == before


@pytest.mark.parametrize("kind", ["lost", "503", "drop"])
def test_a_pull_request_is_opened_once_and_found_again(hub: Hub, tmp_path: Path, kind: str) -> None:
    hub.create(REPOSITORY)
    hub.faults.append(Fault(kind, "POST", "/commit/"))
    first = put(make_release(tmp_path / "a"), pull_request=True)
    again = put(make_release(tmp_path / "b", run_id="another"), pull_request=True)
    assert list(hub.repositories[REPOSITORY].pulls) == [1]
    assert again.commit == first.commit
    assert again.url.endswith(f"{REPOSITORY}/discussions/1")
    assert not again.created


def test_tags_count_on_and_are_made_once(hub: Hub, tmp_path: Path) -> None:
    a, b = make_release(tmp_path / "a"), make_release(tmp_path / "b", seed=1)
    assert [put(folder, tag="next").tag for folder in (a, a, b, b)] == ["v1", "v1", "v2", "v2"]
    assert put(b, tag="stable").tag == "stable"
    with pytest.raises(HubError, match="the tag stable is on another commit"):
        put(a, tag="stable")


@pytest.mark.parametrize(
    "case",
    [
        (None, REPOSITORY, "without an access token"),
        ("hf_expired", REPOSITORY, "wrong or has expired"),
        (READ_TOKEN, REPOSITORY, "may not write here"),
        (TOKEN, "stranger/tiny", "may not write here"),
    ],
)
def test_a_token_that_wont_do_is_explained(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str | None, str, str]
) -> None:
    token, repository, message = case
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    folder = make_release(tmp_path / "a")
    with pytest.raises(HubError, match=message) as raised:
        put(folder, repository)
    assert not hub.releases(repository)
    assert not token or token not in str(raised.value)


@pytest.mark.parametrize(
    "moment", [("stall", "PUT", "/lfs/"), ("stall", "POST", "/commit/"), ("late", "POST", "/commit/")]
)
def test_a_release_killed_while_uploading_ends_in_one_commit_when_it_is_run_again(
    hub: Hub, tmp_path: Path, moment: tuple[str, str, str]
) -> None:
    folder = make_release(tmp_path / "a")
    hub.faults.append(Fault(*moment))
    program = (
        "import sys; from pathlib import Path\n"
        "from distill_pipeline.hub.access import Patience\n"
        "from distill_pipeline.release.destination import Destination\n"
        "from distill_pipeline.release.publish import publish\n"
        "publish(Path(sys.argv[1]), Destination('me/tiny'), Patience(60))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(folder)], env=dict(os.environ))  # noqa: S603
    try:
        assert hub.stalled.wait(60)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    hub.let_go.set()
    outcome = put(folder)
    assert outcome.created is (moment[0] != "late")
    assert len(hub.releases(REPOSITORY)) == 1
    released = {name: content for name, content in hub.releases(REPOSITORY)[0].files.items() if name[:4] != ".git"}
    assert released == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_roll_back_is_a_new_commit_with_the_old_files(hub: Hub, tmp_path: Path) -> None:
    old, new = make_release(tmp_path / "a", variants="float32"), make_release(tmp_path / "b", seed=1)
    put(old, tag="next")
    put(new, tag="next")
    lines: list[str] = []
    commit = rollback(REPOSITORY, "v1", log=lines.append)
    repository = hub.repositories[REPOSITORY]
    assert commit.created
    assert [made.title for made in hub.releases(REPOSITORY)][2:] == ["Roll back to v1"]
    assert repository.head.files == repository.commits[repository.refs["refs/tags/v1"]].files
    assert not rollback(REPOSITORY, "v1", log=lines.append).created


def test_a_roll_back_to_something_that_is_no_whole_release_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    put(make_release(tmp_path / "a"))
    repository = hub.repositories[REPOSITORY]
    broken = dict(repository.head.files)
    broken["config.json"] += b" "
    repository.refs["refs/tags/broken"] = repository.commit("refs/heads/aside", "broken", broken).oid
    for tag, message in (("broken", "config.json was changed"), ("v9", "is not on the Hub")):
        with pytest.raises(VerificationFailed, match=re.escape(message)):
            rollback(REPOSITORY, tag, log=lambda _: None)
    assert len(hub.releases(REPOSITORY)) == 2


def test_a_repository_is_verified_at_any_revision(hub: Hub, tmp_path: Path) -> None:
    put(make_release(tmp_path / "a", variants="int8,dims-4"), tag="v1")
    repository = hub.repositories[REPOSITORY]
    repository.commit("refs/heads/main", "licence", {**repository.head.files, "LICENSE": b"text"})
    with fetched(REPOSITORY, None) as (folder, _):
        checked = verify(folder)
    assert checked.others == ("LICENSE",)
    assert set(checked.variants) == {"int8", "dims-4"}


def test_a_download_that_came_damaged_is_no_verdict_on_the_release(hub: Hub, tmp_path: Path) -> None:
    put(make_release(tmp_path / "a"))
    hub.faults.append(Fault("corrupt", "GET", "model.safetensors"))
    with pytest.raises(VerificationFailed, match="safetensors came damaged from the Hub"), fetched(REPOSITORY, None):
        pass


def test_a_hub_out_of_reach_is_told_of_as_of_reading(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(make_release(tmp_path / "a"))
    monkeypatch.setattr("distill_pipeline.release.verify.PATIENCE_SECONDS", 0)
    hub.faults.append(Fault("503", "GET", "/api/models/", times=100))
    with pytest.raises(HubError) as refused, fetched(REPOSITORY, None):
        pass
    assert str(refused.value).startswith(f"reading {REPOSITORY}: the Hub is out of reach")
    assert str(refused.value).endswith("run this again later.")

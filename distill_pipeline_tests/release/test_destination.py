"""Where a release goes: never over something else unasked, and never into the open behind its owner's back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distill_pipeline.errors import TeacherError
from distill_pipeline.hub.explain import HubError
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.destination import Destination, look_ahead
from distill_pipeline.release.gate import ReleaseRefused
from distill_pipeline.release.ingredients import is_private
from distill_pipeline.release.publish import publish
from distill_pipeline.release.release import preview, release
from distill_pipeline.teacher.source import TeacherSource
from distill_pipeline_tests.patience import FakeTime
from distill_pipeline_tests.release.student import make_ingredients, make_release
from distill_pipeline_tests.servers.hub import Fault, Hub

REPOSITORY, TEACHER = "me/tiny", "them/teacher"
CLASSIFIER = {"README.md": b"---\nlicense: mit\n---\n# Mine", "config.json": b"{}", "model.safetensors": b"weights"}
OF_ANOTHER_TOOL = {"provenance.json": b'{"files": {}}', "README.md": b"---\ntags: [model2vec]\n---\n"}


def said_of(recipe: Recipe, target: Path, source: TeacherSource | None = None) -> tuple[list[str], list[str]]:
    """Return the objections and notes."""
    return look_ahead(recipe, source or TeacherSource({"files_sha256": "f"}, target), target)


def of(**fields: Any) -> Recipe:
    """Return a recipe that is released to the Hub."""
    fields = {"name": "tiny", "teacher": "MINILM_EMBEDDED", "repository": REPOSITORY, **fields}
    return make_recipe(fields, source="test")


@pytest.mark.parametrize("files", [CLASSIFIER, OF_ANOTHER_TOOL, {"pytorch_model.bin": b"weights"}])
def test_a_repository_of_something_else_is_refused_and_left_as_it_is(
    hub: Hub, tmp_path: Path, files: dict[str, bytes]
) -> None:
    hub.create(REPOSITORY, files)
    target = tmp_path / "released"
    [objection], _ = said_of(of(), target)
    assert f"{REPOSITORY} holds something else than a release of distill-pipeline: " in objection
    ingredients = make_ingredients(tmp_path / "a")
    for refused in (lambda: preview(ingredients, target), lambda: release_to(ingredients, target)):
        with pytest.raises(ReleaseRefused, match=f"{REPOSITORY} holds something else"):
            refused()
    with pytest.raises(HubError, match="holds something else"):  # it came there after the gate had looked
        publish(make_release(tmp_path / "b"), Destination(REPOSITORY), FakeTime().patience())
    assert not hub.releases(REPOSITORY)
    assert not target.exists()


def release_to(ingredients: Any, target: Path, reason: str = "") -> None:
    """Release, and tell nobody."""
    release(ingredients, target, override_reason=reason, log=lambda _: None)


def test_a_reason_replaces_something_else_and_the_card_says_so(hub: Hub, tmp_path: Path) -> None:
    hub.create(REPOSITORY, CLASSIFIER)
    release_to(make_ingredients(tmp_path / "a"), tmp_path / "released", "it was the old student")
    card = hub.repositories[REPOSITORY].head.files["README.md"].decode()
    assert "holds something else than a release of distill-pipeline: config.json, model.safetensors" in card
    assert "Reason: it was the old student" in card


def test_a_pull_request_may_go_anywhere(hub: Hub, tmp_path: Path) -> None:
    before = hub.create(REPOSITORY, CLASSIFIER).head.oid
    assert said_of(of(pull_request=True), tmp_path / "released")[0] == []
    release_to(make_ingredients(tmp_path / "a", pull_request=True), tmp_path / "released")
    assert list(hub.repositories[REPOSITORY].pulls) == [1]
    assert hub.repositories[REPOSITORY].head.oid == before


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README.md": b"---\nlicense: mit\n---\n"},
        {"LICENSE": b"text", ".gitignore": b"x"},
        {"README.md": b"---\ntags: [model2vec, distill-pipeline]\n---\n", "model.safetensors": b"of version 0.1"},
        {
            "provenance.json": b'{"files": {}, "fingerprints": {}}',
            "README.md": b"# rewritten",
            "model.safetensors": b"",
        },
    ],
)
def test_a_new_repository_and_releases_of_any_version_go_on_working(
    hub: Hub, tmp_path: Path, files: dict[str, bytes]
) -> None:
    hub.create(REPOSITORY, files)
    assert said_of(of(), tmp_path / "released") == ([], [])
    release_to(make_ingredients(tmp_path / "a"), tmp_path / "released")
    assert len(hub.releases(REPOSITORY)) == 1


def test_a_local_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    target = tmp_path / "tiny"
    target.mkdir()
    (target / "notes.txt").write_text("three years of work")
    [objection], _ = said_of(of(repository=None), target)
    # The card may repeat this, so it holds no path of this machine.
    assert objection == "releases/tiny here holds something else than a release of distill-pipeline: notes.txt"
    with pytest.raises(ReleaseRefused, match=r"holds something else.*notes\.txt"):
        release_to(make_ingredients(tmp_path / "a", repository="none"), target)
    assert [path.name for path in target.iterdir()] == ["notes.txt"]


def test_a_hub_out_of_reach_is_looked_at_later(hub: Hub, tmp_path: Path) -> None:
    hub.create(REPOSITORY, CLASSIFIER)
    hub.faults.append(Fault("503", "GET", "/api/models/"))
    note = f"the Hub is out of reach; {REPOSITORY} is looked at when there is something to send"
    assert said_of(of(), tmp_path) == ([], [note])


@pytest.mark.parametrize("kind", ["private", "gated", "gone"])
def test_the_student_of_a_teacher_that_not_everyone_sees_is_private_too(hub: Hub, tmp_path: Path, kind: str) -> None:
    commit = hub.create(TEACHER, private=kind == "private", gated=kind == "gated").head.oid
    if kind == "gone":
        del hub.repositories[TEACHER]
    source = TeacherSource({"repository": TEACHER, "commit": commit})
    hidden = "gated" if kind == "gated" else "private"
    note = f"the teacher is {hidden} on the Hub, so {REPOSITORY} is private (private: auto)"
    assert said_of(of(teacher=TEACHER), tmp_path / "released", source) == ([], [note])
    ingredients = make_ingredients(tmp_path / "a", teacher=TEACHER)
    release_to(replace(ingredients, private=is_private(ingredients.recipe, source)), tmp_path / "released")
    assert hub.repositories[REPOSITORY].private
    hub.create(REPOSITORY)
    with pytest.raises(HubError, match="says nothing while the teacher is private or gated, but this repository is"):
        said_of(of(teacher=TEACHER), tmp_path / "released", source)
    assert said_of(of(teacher=TEACHER, private=False), tmp_path / "released", source) == ([], [])
    assert not is_private(of(teacher=TEACHER, private=False), source)


def test_the_student_of_a_public_teacher_is_public(hub: Hub, tmp_path: Path) -> None:
    source = TeacherSource({"repository": TEACHER, "commit": hub.create(TEACHER).head.oid})
    assert said_of(of(teacher=TEACHER), tmp_path / "released", source) == ([], [])
    assert not is_private(of(teacher=TEACHER), source)
    assert is_private(of(teacher=TEACHER, private=True), source)


def test_the_student_of_a_folder_is_public_but_its_owner_is_told(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "our-teacher"
    folder.mkdir()
    source = TeacherSource({"files_sha256": "f"}, folder)
    _, [note] = said_of(of(teacher=str(folder)), tmp_path / "released", source)
    assert note.startswith(f"{REPOSITORY} is public, and so will be the student of the folder our-teacher; private: tr")
    for told in (True, False):
        assert said_of(of(teacher=str(folder), private=told), tmp_path / "released", source) == ([], [])
    hub.create(REPOSITORY, private=True)
    assert said_of(of(teacher=str(folder)), tmp_path / "released", source) == ([], [])


def test_a_hub_that_cant_tell_of_the_teacher_publishes_nothing(hub: Hub, tmp_path: Path) -> None:
    source = TeacherSource({"repository": TEACHER, "commit": hub.create(TEACHER).head.oid})
    hub.faults.append(Fault("503", "GET", f"/api/models/{TEACHER}", times=100))
    with pytest.raises(TeacherError, match=f"whether the teacher {TEACHER} is private: try later, or set private to"):
        is_private(of(teacher=TEACHER), source)
    assert not is_private(of(teacher=TEACHER, private=False), source)
    assert not is_private(of(teacher=TEACHER, repository=None), source)

"""Teachers on the Hub: what comes is what was asked for, or a clear error; nothing is written outside the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import snapshot_download
from safetensors.numpy import save

from distill_pipeline.errors import TeacherError
from distill_pipeline.hub import access
from distill_pipeline.teacher.encoding import sentence_ids
from distill_pipeline.teacher.source import TeacherSource, resolve_teacher
from distill_pipeline.teacher.teacher import load_teacher
from distill_pipeline.vocabulary.vocabulary import build_word_vocabulary
from distill_pipeline_tests.servers.hub import Fault, Hub
from distill_pipeline_tests.servers.hub_api import Repository
from distill_pipeline_tests.teachers import HIDDEN, SPECIAL, build_modernbert, save_teacher, train_bpe

TEACHER = "them/teacher"
WEIGHTS = save({"weight": np.arange(25_000, dtype=np.float32)})
FILES = {
    "README.md": b"---\nlicense: apache-2.0\nlanguage: en\n---\n# Teacher\n",
    "config.json": b'{"hidden_size": 32}',
    "tokenizer.json": b"{}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"pickle",
}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a test's Hub."""
    monkeypatch.setattr(access, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(access, "ANSWER_TIMEOUT_SECONDS", 0.4)


@pytest.fixture
def teacher(hub: Hub, tmp_path: Path) -> Repository:
    """A teacher whose content no other test has; the client's cache, which tests share, goes by it."""
    own = str(tmp_path).encode()
    weights = save({"weight": np.arange(25_000, dtype=np.float32)}, {"test": str(tmp_path)})
    return hub.create(TEACHER, {**FILES, "vocab.txt": own, "model.safetensors": weights})


def find(tmp_path: Path, revision: str | None = None, **fields: Any) -> TeacherSource:
    """Resolve the teacher with a little patience."""
    known = tmp_path / "teachers.json"
    fields = {"location": TEACHER, "patience_seconds": 2, **fields}
    return resolve_teacher(revision=revision, known_commits=known, **fields)


@pytest.mark.parametrize("moment", [("GET", "/api/models/"), ("HEAD", "/resolve/"), ("GET", "/resolve/")])
@pytest.mark.parametrize("kind", ["429", "500", "503", "drop", "truncate", "reset", "stall", "corrupt"])
def test_a_fault_that_passes_gives_the_teachers_exact_files(
    hub: Hub, teacher: Repository, tmp_path: Path, kind: str, moment: tuple[str, str]
) -> None:
    hub.faults.append(Fault(kind, *moment))
    folder = find(tmp_path).folder
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "vocab.txt",
    }
    assert all((folder / name).read_bytes() == teacher.head.files[name] for name in ("model.safetensors", "vocab.txt"))


def test_a_file_that_comes_damaged_again_and_again_is_refused(hub: Hub, teacher: Repository, tmp_path: Path) -> None:
    hub.faults.append(Fault("corrupt", "GET", "model.safetensors", times=100))
    with pytest.raises(TeacherError, match=r"model\.safetensors came damaged from the Hub twice"):
        _ = find(tmp_path).folder
    hub.faults.clear()
    assert hashlib.sha256((find(tmp_path).folder / "model.safetensors").read_bytes()).hexdigest()


def test_what_the_hub_wont_give_is_explained(hub: Hub, teacher: Repository, tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="not this revision"):
        find(tmp_path, "no-such-branch")
    with pytest.raises(TeacherError, match="not this revision"):
        _ = find(tmp_path, "0" * 40).folder
    teacher.gated = True
    with pytest.raises(TeacherError, match="is gated: accept its conditions"):
        _ = find(tmp_path).folder
    hub.repositories.clear()
    with pytest.raises(TeacherError, match="is not on the Hub, or is private"):
        find(tmp_path)


def test_an_expired_token_is_explained(
    hub: Hub, teacher: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    with pytest.raises(TeacherError, match="wrong or has expired"):
        find(tmp_path)


def test_a_commit_seen_before_serves_while_the_hub_is_away(hub: Hub, teacher: Repository, tmp_path: Path) -> None:
    commit = find(tmp_path).identity["commit"]
    hub.faults.append(Fault("503", "GET", "/api/models/", times=100))
    away = find(tmp_path, patience_seconds=3600)
    assert away.identity["commit"] == commit
    assert "the Hub is out of reach" in str(away.note)


@pytest.mark.parametrize("name", ["../../../escape.json", "/escape.json", "a/../../escape.json", "..\\escape.json"])
def test_a_file_list_that_leads_out_of_its_folder_is_refused(
    hub: Hub, teacher: Repository, tmp_path: Path, name: str
) -> None:
    teacher.commit("refs/heads/main", "evil", {**teacher.head.files, name: b"{}"})
    with pytest.raises(TeacherError, match="leads out of its folder; refused"):
        _ = find(tmp_path).folder
    assert not any(path.startswith("/them/teacher/resolve") for _, path in hub.requests)


@pytest.mark.parametrize("name", ["../../../escape.json", "../escape.json"])
def test_the_client_alone_would_not_write_outside_its_cache_either(
    hub: Hub, teacher: Repository, tmp_path: Path, name: str
) -> None:
    from huggingface_hub import snapshot_download

    teacher.commit("refs/heads/main", "evil", {"config.json": b"{}", name: b"{}"})
    with pytest.raises((ValueError, OSError)):
        snapshot_download(TEACHER, cache_dir=tmp_path / "deep" / "er" / "cache")
    assert not list(tmp_path.glob("**/escape.json"))


def test_pickled_weights_are_taken_only_when_the_recipe_says_so(hub: Hub, teacher: Repository, tmp_path: Path) -> None:
    files = {name: content for name, content in teacher.head.files.items() if name != "model.safetensors"}
    teacher.commit("refs/heads/main", "pickle", files)
    with pytest.raises(TeacherError, match="allow_pickled_weights"):
        _ = find(tmp_path).folder
    assert (find(tmp_path, allow_pickled_weights=True).folder / "pytorch_model.bin").is_file()


def test_the_licence_comes_from_the_teachers_own_card(hub: Hub, teacher: Repository, tmp_path: Path) -> None:
    assert find(tmp_path).licence == {"license": "apache-2.0"}
    for card in (
        b"no header",
        b"---\n!!python/object/apply:os.system ['false']\n---\n",
        b"---\n- a list\n---\n",
        b"---\nlicense: [mit\n---\n",
        b"---\nlicense: [{}]\n---\n",
        b"---\nlicense: mit\nreleased: 2026-99-99\n---\n",
        b"---\nlicense: mit\n1: one\n---\n",
    ):
        teacher.commit("refs/heads/main", "card", {**teacher.head.files, "README.md": card})
        assert find(tmp_path).licence == {}
    other = b"---\nlicense: other\nlicense_name: own\nmodel-index: broken\n---\nna\xefve\n"
    teacher.commit("refs/heads/main", "card", {**teacher.head.files, "README.md": other})
    assert find(tmp_path).licence == {"license": "other", "license_name": "own"}
    linked = b"---\nlicense: other\nlicense_link: LICENSE\n---\n"
    commit = teacher.commit("refs/heads/main", "card", {**teacher.head.files, "README.md": linked}).oid
    link = f"{hub.url}/{TEACHER}/resolve/{commit}/LICENSE"
    assert find(tmp_path).licence == {"license": "other", "license_link": link}
    teacher.commit("refs/heads/main", "no card", {"config.json": b"{}"})
    assert find(tmp_path).licence == {}


def test_the_commit_last_seen_is_kept_with_its_branch(hub: Hub, teacher: Repository, tmp_path: Path) -> None:
    find(tmp_path)
    assert json.loads((tmp_path / "teachers.json").read_text()) == {f"{TEACHER}@main": teacher.head.oid}


def test_an_architecture_with_a_name_of_its_own_for_its_width_is_known(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig(vocab_size=len(SPECIAL) + 300, dim=24, hidden_dim=48, n_layers=1, n_heads=2)
    save_teacher(tmp_path, DistilBertModel(config), train_bpe(len(SPECIAL) + 300)[0], normalize=True)
    assert "hidden_size" not in json.loads((tmp_path / "config.json").read_text())
    source = resolve_teacher(str(tmp_path), None, known_commits=tmp_path / "teachers.json")
    assert source.dimensions == 24
    teacher = load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False)
    assert teacher.rows([[1, 7, 2]]).shape == (1, 24)


OWN_CODE = """
from transformers import ModernBertConfig, ModernBertModel

class OwnConfig(ModernBertConfig):
    model_type = "own"

class OwnModel(ModernBertModel):
    config_class = OwnConfig
"""


def test_a_teacher_s_own_code_runs_only_where_the_model_is_loaded_and_only_if_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_modernbert(tmp_path / "teacher")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(OWN_CODE)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("nobody is there to answer"))
    vocabulary = build_word_vocabulary(folder, count=50)
    assert sentence_ids(folder, ["the house"], prompt=None)[0][0] == vocabulary.teacher_ids[0][0]
    source = resolve_teacher(str(folder), None, known_commits=tmp_path / "teachers.json")
    assert source.dimensions == HIDDEN
    with pytest.raises(TeacherError, match="brings its own Python code"):
        load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False)
    trusting = load_teacher(source, pooling="auto", device="cpu", trust_remote_code=True)
    assert trusting.rows([[1, 5, 2]]).shape == (1, HIDDEN)
    assert type(trusting.backbone).__name__ == "OwnModel"


def test_a_configuration_without_a_width_is_named(tmp_path: Path) -> None:
    for name, content in {**FILES, "config.json": b'{"model_type": "unheard-of"}'}.items():
        (tmp_path / name).write_bytes(content)
    source = resolve_teacher(str(tmp_path), None, known_commits=tmp_path / "teachers.json")
    with pytest.raises(TeacherError, match=r"config\.json states no hidden_size"):
        _ = source.dimensions


def test_a_dense_module_may_widen_the_embeddings(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "2_Dense").mkdir()
    modules = [{"path": "", "type": "Transformer"}, {"path": "2_Dense", "type": "Dense"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "2_Dense" / "config.json").write_text('{"in_features": 32, "out_features": 48}')
    source = resolve_teacher(str(tmp_path), None, known_commits=tmp_path / "teachers.json")
    assert (source.dimensions, source.max_dimensions) == (32, 48)


def test_only_a_teachers_own_files_and_its_modules_are_fetched(hub: Hub, teacher: Repository, tmp_path: Path) -> None:
    modules = b'[{"path": "", "type": "Transformer"}, {"path": "2_Dense", "type": "Dense"}]'
    more = {"modules.json": modules, "2_Dense/config.json": b"{}", "2_Dense/model.safetensors": WEIGHTS}
    unread = {"checkpoint-70/model.safetensors": WEIGHTS, "checkpoint-70/config.json": b"{}"}
    teacher.commit("refs/heads/main", "trained on", {**teacher.head.files, **more, **unread})
    folder = find(tmp_path).folder
    assert (folder / "2_Dense" / "model.safetensors").is_file()
    assert not (folder / "checkpoint-70").exists()


def test_a_cached_commit_serves_a_new_home_while_the_hub_is_away(hub: Hub, teacher: Repository, tmp_path: Path) -> None:
    folder = snapshot_download(TEACHER)  # as a user fills the cache
    hub.faults.append(Fault("503", "GET", "", times=1000))
    away = find(tmp_path / "new")
    assert away.identity == {"repository": TEACHER, "commit": Path(folder).name}
    assert "as the Hub's cache holds it" in str(away.note)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Sets HF_HUB_OFFLINE as if it had been there from the start."""
    return lambda: monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("filled", ["by a user", "by another home", "by an older client"])
def test_a_filled_cache_serves_a_new_home_that_is_offline(
    hub: Hub, teacher: Repository, tmp_path: Path, offline: Callable[[], None], filled: str
) -> None:
    modules = {"modules.json": b'[{"path": "", "type": "Transformer"}]', "onnx/config.json": b"{}"}
    commit = teacher.commit("refs/heads/main", "modules", {**teacher.head.files, **modules}).oid
    known = json.dumps({f"{TEACHER}@main": commit}) if filled == "by another home" else "{}"
    (tmp_path / "teachers.json").write_text(known)
    if filled == "by another home":
        _ = find(tmp_path).folder
    else:
        cache = Path(snapshot_download(TEACHER, ignore_patterns="README.md")).parents[1]
    if filled == "by an older client":
        shutil.rmtree(cache / "trees")
    hub.requests.clear()
    offline()
    away = find(tmp_path)
    assert away.identity["commit"] == commit
    assert "the Hub is out of reach" in str(away.note)
    assert (away.folder / "model.safetensors").read_bytes() == teacher.head.files["model.safetensors"]
    assert (away.licence, away.prompts) == (None, "")
    assert not hub.requests


def test_offline_with_an_empty_cache_is_an_error_at_once(
    hub: Hub, tmp_path: Path, offline: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("nobody has to wait for this"))
    offline()
    source = TeacherSource({"repository": "them/unheard-of", "commit": "0" * 40}, patience_seconds=3600)
    for ask in (lambda: source.folder, lambda: find(tmp_path, patience_seconds=3600, location="them/unheard-of")):
        with pytest.raises(TeacherError, match="isn't in the Hub's cache, and HF_HUB_OFFLINE says not to ask"):
            ask()


def test_a_cache_that_lacks_a_file_is_not_taken_for_the_teacher(
    hub: Hub, teacher: Repository, tmp_path: Path, offline: Callable[[], None]
) -> None:
    (find(tmp_path).folder / "vocab.txt").unlink()
    offline()
    with pytest.raises(TeacherError, match="isn't in the Hub's cache"):
        _ = find(tmp_path).folder

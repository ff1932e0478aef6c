"""A GPU's kernels: what they compute, in Triton's interpreter everywhere, and on a GPU where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distill_pipeline.teacher.passes.forward import Forward
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline.teacher.teacher import Teacher, load_teacher
from distill_pipeline_tests.teachers import build_modernbert

pytest.importorskip("triton", reason="this torch has no Triton")
from distill_pipeline.teacher.passes import kernels

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
on_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter runs where there is no GPU")

WINDOW = 16
# Two layers: the first sees all tokens and has no norm before its attention, the second sees a window and has one.
WIDE: dict[str, Any] = {"hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}


@pytest.fixture(scope="module")
def wide_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher whose heads are as wide as the kernels need."""
    folder = tmp_path_factory.mktemp("wide")
    return build_modernbert(folder, **WIDE, local_attention=2 * WINDOW, max_position_embeddings=256)


def _load(folder: Path, device: str = "cpu") -> Teacher:
    source = resolve_teacher(str(folder), None, known_commits=folder / "none.json")
    return load_teacher(source, pooling="auto", device=device, trust_remote_code=False)


def _sequences(count: int, length: int) -> list[list[int]]:
    random = np.random.default_rng(length)
    return [random.integers(5, 600, length).tolist() for _ in range(count)]


@on_no_gpu
@pytest.mark.parametrize(("count", "length"), [(1, 1), (47, 3), (3, 40), (2, WINDOW + 1), (2, 64), (3, 65), (1, 200)])
def test_a_pass_with_kernels_is_the_pass_without(wide_heads: Path, count: int, length: int) -> None:
    forward_pass = _load(wide_heads).forward.modernbert
    assert forward_pass is not None
    ids = torch.tensor(_sequences(count, length))
    with torch.inference_mode():
        expected = forward_pass(ids)
        forward_pass.kernels = kernels
        torch.testing.assert_close(forward_pass(ids), expected, atol=2e-5, rtol=1e-4)


@on_no_gpu
def test_biases_are_added_and_norms_with_a_bias_have_no_kernels(tmp_path: Path) -> None:
    forward_pass = _load(
        build_modernbert(tmp_path / "biases", **WIDE, attention_bias=True, mlp_bias=True)
    ).forward.modernbert
    assert forward_pass is not None
    with torch.inference_mode():
        for name, bias in forward_pass.backbone.named_parameters():
            if name.endswith("bias"):
                bias.normal_()
        ids = torch.tensor(_sequences(3, 5))
        expected = forward_pass(ids)
        forward_pass.kernels = kernels
        torch.testing.assert_close(forward_pass(ids), expected, atol=2e-5, rtol=1e-4)
    forward_pass = _load(build_modernbert(tmp_path / "norms", **WIDE, norm_bias=True)).forward.modernbert
    assert forward_pass is not None
    assert forward_pass.find_kernels() is None


def test_heads_of_other_sizes_have_no_kernels(modernbert: Path) -> None:
    forward_pass = _load(modernbert).forward.modernbert
    assert forward_pass is not None
    assert forward_pass.find_kernels() is None


@on_no_gpu
def test_kernels_that_fail_or_differ_are_not_used(wide_heads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = _load(wide_heads).forward
    expected = forward.rows(np.array(_sequences(3, 5)))

    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("no C compiler")

    def take_if_equal(forward: Forward) -> str:
        assert forward.modernbert is not None
        forward._use_kernels_if_equal(forward.modernbert)
        return forward.name

    assert take_if_equal(forward) == "modernbert, with Triton kernels"
    np.testing.assert_allclose(forward.rows(np.array(_sequences(3, 5))), expected, atol=1e-5)
    assert forward.modernbert is not None
    forward.modernbert.kernels = None
    for wrong in (broken, lambda first, second: first - second):
        monkeypatch.setattr(kernels, "gated_gelu", wrong)
        assert take_if_equal(forward) == "modernbert"
        assert forward.why_no_kernels
        np.testing.assert_allclose(forward.rows(np.array(_sequences(3, 5))), expected, atol=1e-5)


@on_a_gpu
def test_a_gpu_uses_them_in_bfloat16(wide_heads: Path) -> None:
    exact, reduced = _load(wide_heads), _load(wide_heads, "cuda")
    reduced.to_bfloat16()
    assert reduced.forward.name == "modernbert, with Triton kernels"
    for length in (1, 3, 40, 65, 128):
        sequences = _sequences(30, length)
        assert (exact.rows(sequences) * reduced.rows(sequences)).sum(axis=1).min() > 0.999

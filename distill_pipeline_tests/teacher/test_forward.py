"""The ModernBERT pass and the products against the library's, and what runs when they don't apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distill_pipeline.teacher.passes import operations
from distill_pipeline.teacher.passes.modernbert import ModernBert
from distill_pipeline.teacher.passes.operations import attention
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline.teacher.teacher import Teacher, load_teacher


def _load(folder: Path, pooling: str = "auto") -> Teacher:
    source = resolve_teacher(str(folder), None, known_commits=folder / "none.json")
    return load_teacher(source, pooling=pooling, device="cpu", trust_remote_code=False)  # type: ignore[arg-type]


def _ids(count: int, length: int, seed: int = 0) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [[1, *random.integers(5, 600, length - 2).tolist(), 2] for _ in range(count)]


@pytest.mark.parametrize("length", [3, 5, 17, 18, 40, 128])
def test_the_modernbert_pass_equals_the_library_on_both_sides_of_the_window(modernbert: Path, length: int) -> None:
    teacher = _load(modernbert)
    assert teacher.forward.name == "modernbert"
    ids = torch.tensor(_ids(4, length))
    with torch.inference_mode():
        expected = teacher.backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        assert teacher.forward.modernbert is not None
        found = teacher.forward.modernbert(ids)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pooling", ["auto", "mean", "first", "last"])
def test_each_pooling_gives_what_sentence_transformers_gives(modernbert: Path, pooling: str) -> None:
    teacher = _load(modernbert, pooling)
    sequences = _ids(3, 6)
    ids = torch.tensor(sequences)
    with torch.inference_mode():
        features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        hidden = teacher.backbone(**features).last_hidden_state
        whole = teacher.model(features)["sentence_embedding"]
    expected = {"auto": whole, "mean": hidden.mean(1), "first": hidden[:, 0], "last": hidden[:, -1]}[pooling]
    np.testing.assert_allclose(teacher.rows(sequences), expected.numpy(), atol=1e-5)


def test_a_pass_that_differs_from_the_library_is_not_used(modernbert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(ModernBert):
        def __call__(self, ids: torch.Tensor) -> torch.Tensor:
            return super().__call__(ids.flip(1).roll(1, 0))

    expected = _load(modernbert).rows(_ids(3, 4))
    monkeypatch.setattr("distill_pipeline.teacher.passes.forward.ModernBert", Wrong)
    teacher = _load(modernbert)
    assert teacher.forward.name == "library"
    np.testing.assert_allclose(teacher.rows(_ids(3, 4)), expected, atol=1e-5)


def test_another_architecture_runs_in_the_library_with_faster_products(bert: Path) -> None:
    teacher = _load(bert)
    assert teacher.forward.name == "library"
    sequences = [[1, *(number % 400 + 5 for number in sequence[1:-1]), 2] for sequence in _ids(5, 9)]
    features = {"input_ids": torch.tensor(sequences), "attention_mask": torch.ones(5, 9, dtype=torch.int64)}
    with torch.inference_mode():
        faster = [layer for layer in teacher.backbone.modules() if vars(layer).pop("forward", None)]
        assert {"Linear", "BertIntermediate"} <= {type(layer).__name__ for layer in faster}
        expected = teacher.model(features)["sentence_embedding"].numpy()
    np.testing.assert_allclose(_load(bert).rows(sequences), expected, atol=1e-5)


@pytest.mark.parametrize("length", [4, 5, 15, 16, 256, 257])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_right_at_every_length(dtype: torch.dtype, length: int) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 5, length, 2, 8)
    for scale in (None, 0.1):
        found = attention(query.to(dtype), key.to(dtype), value.to(dtype), scale=scale)
        scores = torch.einsum("nqhs,nkhs->nhqk", query, key) * (8**-0.5 if scale is None else scale)
        expected = torch.einsum("nhqk,nkhs->nqhs", scores.softmax(-1), value)
        tolerance = 1e-5 if dtype == torch.float32 else 0.05
        torch.testing.assert_close(found.float(), expected, atol=tolerance, rtol=tolerance)


def test_another_architecture_attends_through_ours_and_masked_through_the_librarys(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = _load(bert)
    calls: list[int] = []

    def counted(query: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        calls.append(query.shape[1])
        return attention(query, *rest, **options)

    monkeypatch.setattr(operations, "attention", counted)
    expected = teacher.rows([[1, 7, 8, 2]])
    assert set(calls) == {4}
    calls.clear()
    padded = {"input_ids": torch.tensor([[1, 7, 8, 2, 0]]), "attention_mask": torch.tensor([[1, 1, 1, 1, 0]])}
    with torch.inference_mode():
        masked = teacher.model(padded)["sentence_embedding"].numpy()
    assert calls == []
    np.testing.assert_allclose(masked, expected, atol=1e-5)


def test_another_architecture_stays_near_float32_in_bfloat16(bert: Path) -> None:
    sequences = [[1, *range(5, 5 + length), 2] for length in (1, 4, 30, 90)]
    teacher = _load(bert)
    exact = teacher.rows(sequences)
    teacher.to_bfloat16()
    assert (teacher.rows(sequences) * exact).sum(axis=1).min() > 0.999


def test_an_architecture_that_reads_its_weights_itself_keeps_them_plain(bert: Path) -> None:
    teacher = _load(bert)
    layer = teacher.backbone.encoder.layer[0].attention.self.query
    layer.forward = lambda rows: torch.nn.functional.linear(rows, layer.weight.to(rows.dtype), layer.bias)
    sequences = [[1, 7, 8, 2]]
    exact = teacher.rows(sequences)
    teacher.to_bfloat16()
    assert layer.weight.layout == torch.strided
    assert (teacher.rows(sequences) * exact).sum() > 0.999
    usual = _load(bert)
    usual.to_bfloat16()
    packs = usual.backbone.encoder.layer[0].attention.self.query.weight.layout != torch.strided
    assert packs == operations.onednn_supports(torch.bfloat16)


def test_bfloat16_stays_nearer_to_float32_than_the_library_does(modernbert: Path) -> None:
    sequences = _ids(64, 3)
    teacher = _load(modernbert)
    exact = teacher.rows(sequences)
    teacher.to_bfloat16()
    found = (teacher.rows(sequences) * exact).sum(axis=1).min()
    library = _load(modernbert)
    library.backbone.to(torch.bfloat16)
    ids = torch.tensor(sequences)
    with torch.inference_mode():
        hidden = library.backbone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    plain = hidden.float().mean(1)
    plain = plain / plain.norm(dim=1, keepdim=True)
    assert found > (plain.numpy() * exact).sum(axis=1).min()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("fused", [True, False])
def test_products_are_right_with_and_without_onednn(bias: bool, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fused:
        monkeypatch.setattr(operations, "onednn_supports", lambda _: False)
    torch.manual_seed(0)
    layer = torch.nn.Linear(24, 32, bias=bias)
    rows = torch.randn(7, 24)
    with torch.inference_mode():
        expected = layer(rows)
        torch.testing.assert_close(operations.linear(rows, layer.weight, layer.bias), expected, atol=1e-5, rtol=1e-5)
        a, b = expected.chunk(2, dim=-1)
        first, second = layer.weight.chunk(2)
        first_bias, second_bias = (None, None) if layer.bias is None else layer.bias.chunk(2)
        packs = operations.pack_weight(first, 7), operations.pack_weight(second, 7)
        gated = operations.gated_gelu(rows, (packs[0], first_bias), (packs[1], second_bias))
    torch.testing.assert_close(gated, torch.nn.functional.gelu(a) * b, atol=1e-5, rtol=1e-5)

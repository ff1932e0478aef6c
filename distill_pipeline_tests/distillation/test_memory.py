"""What the process tells its system about memory."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from distill_pipeline.distillation.memory import MappedWeights, keep_freed_memory
from distill_pipeline.distillation.source import resolve_teacher
from distill_pipeline.distillation.teacher import load_teacher
from distill_pipeline_tests.teachers import build_modernbert

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's calls")
MEGABYTES = 8


def _resident_of_file(path: Path) -> int:
    """Return how many bytes of a mapped file this process holds in memory."""
    inside, held = False, 0
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        name, value = line.split()[:2]
        if not name.endswith(":"):
            inside = line.endswith(str(path))
        elif inside and name == "Rss:":
            held += int(value) * 1024
    return held


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[Path, torch.Tensor]:
    """A file of weights, and the weight that is mapped from it."""
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.arange(MEGABYTES << 18, dtype=torch.float32)}, path)
    return path, load_file(path)["weight"]


def test_dropped_weights_leave_memory_and_come_back_unchanged(mapped: tuple[Path, torch.Tensor]) -> None:
    path, weight = mapped
    total = float(weight.double().sum())
    assert _resident_of_file(path) >= MEGABYTES << 20
    MappedWeights([weight]).drop([weight])
    assert _resident_of_file(path) < 1 << 20
    assert float(weight.double().sum()) == total


def test_a_files_pages_are_dropped_with_those_of_weights_that_nobody_holds(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({name: torch.arange(MEGABYTES << 18, dtype=torch.float32) for name in ("a", "b")}, path)
    weights = load_file(path)
    total = float(weights["a"].double().sum())
    mapped = MappedWeights([torch.ones(3), weights["b"], weights["a"]])
    weights.pop("b").double().sum()
    assert _resident_of_file(path) >= 2 * MEGABYTES << 20
    mapped.drop_all()
    assert _resident_of_file(path) < 1 << 20
    assert float(weights["a"].double().sum()) == total


def test_a_file_stays_mapped_for_as_long_as_its_pages_may_be_dropped(mapped: tuple[Path, torch.Tensor]) -> None:
    path, weight = mapped
    weights = MappedWeights([weight])
    del weight, mapped
    [(start, end)] = weights.spans
    addresses = [
        line.split()[0] for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(path))
    ]
    assert f"{start:x}-{end:x}" in addresses


def test_weights_in_the_hubs_cache_are_dropped_too(tmp_path: Path) -> None:
    blob, link = tmp_path / "blobs" / "5f70bf18", tmp_path / "model.safetensors"
    blob.parent.mkdir()
    save_file({"weight": torch.arange(MEGABYTES << 18, dtype=torch.float32)}, blob)
    link.symlink_to(blob)
    weight = load_file(link)["weight"]
    weight.double().sum()
    assert _resident_of_file(blob) >= MEGABYTES << 20
    MappedWeights([weight]).drop([weight])
    assert _resident_of_file(blob) < 1 << 20


def test_weights_that_were_written_to_are_never_dropped(mapped: tuple[Path, torch.Tensor]) -> None:
    _, weight = mapped
    weight[1000] = -5.0
    MappedWeights([weight]).drop([weight])
    assert float(weight[1000]) == -5.0


def test_weights_in_plain_memory_are_left_alone() -> None:
    weight = torch.arange(1 << 20, dtype=torch.float32)
    MappedWeights([weight]).drop([weight])
    assert float(weight[12345]) == 12345.0


def test_a_sparing_pass_gives_the_same_rows(modernbert: Path) -> None:
    source = resolve_teacher(str(modernbert), None, known_commits=modernbert / "none.json")
    teacher = load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False)
    sequences = [[1, 5 + place, 2] for place in range(8)]
    expected = teacher.rows(sequences)
    with teacher.forward.sparing_memory():
        np.testing.assert_array_equal(teacher.rows(sequences), expected)
    np.testing.assert_array_equal(teacher.rows(sequences), expected)


def test_a_vocabulary_does_not_pull_the_whole_embedding_table_into_memory(tmp_path: Path) -> None:
    rows = 40_000
    build_modernbert(tmp_path, vocab_size=rows, hidden_size=128, num_hidden_layers=1)
    source = resolve_teacher(str(tmp_path), None, known_commits=tmp_path / "none.json")
    teacher = load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False)
    assert teacher.forward.name == "own"
    held = []
    for first in range(0, rows, 2000):
        teacher.rows([[token] for token in range(first, first + 2000)])
        held.append(_resident_of_file(tmp_path / "model.safetensors"))
    table = rows * 128 * 4
    assert max(held) < table * 0.75


def test_the_allocator_is_asked_where_it_can_be() -> None:
    assert keep_freed_memory() is keep_freed_memory()
    assert keep_freed_memory() == (sys.platform == "linux")

"""Batches side by side: a GPU that runs out of memory, the number of cores, and the threads afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from distill_pipeline.errors import TeacherError
from distill_pipeline.store.disk import file_table
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.teacher.batches import BatchEncoder
from distill_pipeline.teacher.encoding import EncodingWork, encode_to_parts
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline.teacher.teacher import Teacher, load_teacher


class SmallMemory:
    """Stands for a teacher on a GPU that holds so many tokens at once."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.device = "cpu"
        self.precision = "float32"
        self.forward = SimpleNamespace(name="library", keeping_lengths=lambda _: nullcontext(False))
        self.backbone = SimpleNamespace(config=SimpleNamespace(hidden_size=32))
        self.refused = 0
        self.taken: list[int] = []

    def rows(self, sequences: Sequence[Sequence[int]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        tokens = sum(map(len, sequences))
        if tokens > self.tokens:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.taken.append(tokens)
        return np.array([[sequence[0], len(sequence)] for sequence in sequences], dtype=np.float32)


def test_a_gpu_out_of_memory_gets_half_as_much_and_the_encoding_goes_on(tmp_path: Path) -> None:
    teacher = SmallMemory(tokens=100)
    sequences = [[place] * (place % 7 + 1) for place in range(1000)]
    encode_to_parts(EncodingWork(sequences, rows_per_part=300), cast(Teacher, teacher), tmp_path)
    rows = Embeddings.of_parts(tmp_path).all()
    np.testing.assert_array_equal(rows, [[place, place % 7 + 1] for place in range(1000)])
    assert teacher.refused > 0
    assert teacher.refused < len(teacher.taken)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_real_gpu_out_of_memory_gets_smaller_batches(modernbert: Path) -> None:
    source = resolve_teacher(str(modernbert), None, known_commits=modernbert / "none.json")
    teacher = load_teacher(source, pooling="auto", device="cuda", trust_remote_code=False)
    random = np.random.default_rng(0)
    sequences = random.integers(5, 600, (8192, 64)).tolist()
    expected = np.concatenate([teacher.rows(sequences[first : first + 512]) for first in range(0, 8192, 512)])
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (96 << 20)) / whole)
    try:
        with BatchEncoder(teacher) as encoder:
            encoder.token_budget = given = 8192 * 64
            rows = encoder.start(sequences).rows(lambda _: None)
            assert encoder.token_budget < given
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_the_budget_stays_halved_for_later_batches() -> None:
    teacher = SmallMemory(tokens=100)
    with BatchEncoder(cast(Teacher, teacher)) as encoder:
        encoder.encode([[1] * 4] * 500)
        refused = teacher.refused
        encoder.encode([[1] * 4] * 500)
        assert encoder.token_budget <= 100
    assert teacher.refused == refused


def test_a_sequence_that_fits_alone_nowhere_is_an_error_with_its_length() -> None:
    with (
        BatchEncoder(cast(Teacher, SmallMemory(tokens=10))) as encoder,
        pytest.raises(TeacherError, match="one sequence of 12 tokens"),
    ):
        encoder.encode([[1] * 12, [2] * 12])


@pytest.mark.parametrize("architecture", ["modernbert", "bert"])
def test_the_number_of_cores_changes_no_byte(
    architecture: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.getfixturevalue(architecture)
    source = resolve_teacher(str(folder), None, known_commits=folder / "none.json")
    teacher = load_teacher(source, pooling="auto", device="cpu", trust_remote_code=False)
    monkeypatch.setattr("distill_pipeline.teacher.hardware.NUMBERS_PER_CPU_BATCH", 32 * 64)
    random = np.random.default_rng(0)
    sequences = [[1, *random.integers(5, 300, random.integers(1, 30)).tolist(), 2] for _ in range(600)]
    tables = []
    cores = torch.get_num_threads()
    for count in (1, 4):
        out = tmp_path / str(count)
        out.mkdir()
        torch.set_num_threads(count)
        try:
            encode_to_parts(EncodingWork(sequences, rows_per_part=200), teacher, out)
            assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(cores)
        tables.append(file_table(out))
    assert tables[0] == tables[1]

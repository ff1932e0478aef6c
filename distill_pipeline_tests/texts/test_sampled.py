"""A sample of texts is that of its definition, and its file stays small."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

from distill_pipeline.texts.corpus import is_held_out, sample_passages
from distill_pipeline.texts.sampled import smallest


@pytest.mark.parametrize("count", [1, 7, 100, 400, 5000])
def test_a_sample_is_that_of_its_definition_however_often_it_was_cut_down(tmp_path: Path, count: int) -> None:
    path = tmp_path / "texts.txt"
    numbers = np.random.default_rng(count).zipf(1.3, 3000).tolist()  # some of them again and again
    path.write_text("\n".join(f"the street № {number} has owls" for number in numbers))
    lines = {line for line in path.read_text().splitlines() if not is_held_out(line)}
    ranks = {line: blake2b(f"5\0{line}".encode(), digest_size=8).digest() for line in lines}
    sample = sample_passages([str(path)], count, seed=5, folder=tmp_path)
    assert list(sample) == sorted(lines, key=ranks.__getitem__)[:count]
    assert sample[1:count:3] == list(sample)[1:count:3]
    assert [*tmp_path.iterdir()] == [path]


def test_a_passage_that_comes_again_and_again_is_written_once_more_at_most(tmp_path: Path) -> None:
    ranked = [(rank, "x" * 1000) for rank in (1, 2, 3)]
    sample = smallest([*ranked, *ranked * 10_000], 4, tmp_path)
    assert list(sample) == ["x" * 1000] * 3
    assert len(sample._content) < 10_000

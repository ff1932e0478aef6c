"""What tests of encoding share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distill_pipeline.teacher.teacher import Teacher
from distill_pipeline_tests.teachers import load_plainly


@pytest.fixture(scope="module")
def teacher(modernbert: Path) -> Teacher:
    """The tiny ModernBERT, loaded."""
    return load_plainly(modernbert)


@pytest.fixture(scope="module")
def sequences() -> list[list[int]]:
    """Token ids of a hundred entries and short texts."""
    random = np.random.default_rng(0)
    return [[1, *random.integers(5, 600, random.integers(1, 9)).tolist(), 2] for _ in range(100)]

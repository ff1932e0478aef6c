"""What runs in tests do less of than a user's: the same work on fewer words, timed for less long."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

LESS: Mapping[str, float] = {
    # The head of the word list tells frequencies well enough for tiny vocabularies, and a chain counts it each time.
    "distill_pipeline.vocabulary.frequencies._COUNTED": 5_000,
    "distill_pipeline.vocabulary.frequencies._COUNTED_IN_ALL_FORMS": 1_000,
    "distill_pipeline.vocabulary.vocabulary._MEASURED": 2_000,
    # A map of sixty words is made as one of three hundred is, in a second less, and most chains draw one.
    "distill_pipeline.figures.pictures._MAPPED": 60,
    # Whoever reads a speed wants it steadier than a test does.
    "distill_pipeline.quality.agreement._TIMED_SECONDS": 0.02,
    "distill_pipeline.quality.speed.ROUNDS": 2,
    "distill_pipeline.quality.speed.SECONDS_PER_ROUND": 0.01,
}
"""Numbers of the package by name, and what they are in tests."""


def do_less(patch: pytest.MonkeyPatch) -> None:
    """Set the numbers in this process; those that a test starts call this too."""
    for name, number in LESS.items():
        patch.setattr(name, number)

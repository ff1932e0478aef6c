"""The speed of several students side by side, measured so that a busy machine favours none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10
from pathlib import Path

from distill_pipeline.distillation.quality import texts_per_second

ROUNDS = 3
SECONDS_A_ROUND = 0.2


def side_by_side(students: Mapping[str, Path], texts: Sequence[str]) -> dict[str, int]:
    """Return how many texts a second each student encodes here.

    All take turns, for several rounds, and the best round counts: other work on the machine can only slow a round
    down. Students are loaded anew for each round, so that no more than one is in memory.

    Args:
        students: Model2Vec folders by name.
        texts: The same for all.

    Returns:
        Texts a second by name, to two digits: the third differs from one measurement to the next.
    """
    from model2vec import StaticModel

    best = dict.fromkeys(students, 0.0)
    for _ in range(ROUNDS):
        for name, folder in students.items():
            student = StaticModel.from_pretrained(folder)
            best[name] = max(best[name], texts_per_second(student.encode, texts, SECONDS_A_ROUND))
    return {name: two_digits(speed) for name, speed in best.items()}


def two_digits(value: float) -> int:
    """Return a number from 10 upwards rounded to its two leading digits."""
    return int(round(value, 1 - floor(log10(value))))

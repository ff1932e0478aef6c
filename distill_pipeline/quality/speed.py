"""The speed of several students side by side, measured so that a busy machine favours none of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from math import floor, log10
from pathlib import Path

from distill_pipeline.quality.agreement import Encode

ROUNDS = 5
SECONDS_PER_ROUND = 0.1


def measure_speeds(students: Mapping[str, Path], texts: Sequence[str]) -> dict[str, int]:
    """Return how many texts each student encodes here in a second of processor time, as on one core of its own.

    Processor time, since other work on the machine lengthens the wall's. What remains of its influence, on caches and
    clock rates, can only slow a student down: so all take turns, for several rounds, and the best pass counts.
    Students are loaded anew for each round, so that no more than one is in memory.

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
            best[name] = max(best[name], _texts_per_processor_second(student.encode, texts))
    return {name: round_to_two_digits(speed) for name, speed in best.items()}


def _texts_per_processor_second(encode: Encode, texts: Sequence[str]) -> float:
    encode(texts)
    began, best = time.process_time(), float("inf")
    while (started := time.process_time()) - began < SECONDS_PER_ROUND:
        encode(texts)
        best = min(best, time.process_time() - started)
    return len(texts) / best


def round_to_two_digits(value: float) -> int:
    """Return a number from 10 upwards rounded to its two leading digits."""
    return int(round(value, 1 - floor(log10(value))))

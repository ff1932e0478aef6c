"""The speed of several students, measured so that a busy machine favours none of them."""

import time
from collections.abc import Mapping, Sequence
from math import floor, log10
from pathlib import Path

ROUNDS = 5
SECONDS_PER_ROUND = 0.1


def measure_speeds(students: Mapping[str, Path], texts: Sequence[str]) -> dict[str, int]:
    """Return how many texts each student (a Model2Vec folder, by name) encodes here per second of processor time.

    Processor time, since other work on the machine stretches wall time. That work can still slow a student down, by
    its use of caches and clock rates, but never speed it up: so the students take turns for several rounds, and the
    best pass counts, to two digits; the third differs between measurements. Each round loads a student again, so that
    only one is in memory.
    """
    from model2vec import StaticModel

    best = dict.fromkeys(students, float("inf"))
    for _ in range(ROUNDS):
        for name, folder in students.items():
            encode = StaticModel.from_pretrained(folder).encode
            encode(texts)  # to warm up
            began = time.process_time()
            while (started := time.process_time()) - began < SECONDS_PER_ROUND:
                encode(texts)
                best[name] = min(best[name], time.process_time() - started)
    return {name: round_to_two_digits(len(texts) / seconds) for name, seconds in best.items()}


def round_to_two_digits(value: float) -> int:
    """Return a number from 10 upwards rounded to its two leading digits."""
    return int(round(value, 1 - floor(log10(value))))

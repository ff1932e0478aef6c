"""The Pareto front: nothing on it is beaten, everything off it is."""

from __future__ import annotations

import numpy as np

from distill_pipeline.chain.comparison import pareto_front
from distill_pipeline.quality.speed import round_to_two_digits


def test_a_point_is_on_the_front_unless_another_is_as_good_in_both_and_better_in_one() -> None:
    quality = [0.9, 0.8, 0.8, 0.7, 0.9]
    size = [30, 10, 12, 10, 30]
    assert pareto_front(quality, [-s for s in size]).tolist() == [True, True, False, False, True]


def test_the_front_falls_as_the_other_figure_rises() -> None:
    points = np.random.default_rng(0).random((50, 2))
    front = points[pareto_front(points[:, 0].tolist(), points[:, 1].tolist())]
    ordered = front[np.argsort(front[:, 0])]
    assert len(ordered) > 1
    assert (np.diff(ordered[:, 1]) < 0).all()
    for point in points:
        assert any((best >= point).all() for best in front)


def test_one_point_is_its_own_front() -> None:
    assert pareto_front([0.5], [1]).tolist() == [True]


def test_a_speed_keeps_two_digits() -> None:
    assert [round_to_two_digits(value) for value in (12_345.6, 99.5, 10.4, 15.0)] == [12_000, 100, 10, 15]

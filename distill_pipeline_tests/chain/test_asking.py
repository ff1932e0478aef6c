"""However many teachers are out of reach, asking for them ends in time."""

from __future__ import annotations

from typing import Any

import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.plan import ANSWER_TIMEOUT_SECONDS, identify_teachers
from distill_pipeline.chain.watching import BranchState, HubUnavailable, check_teachers
from distill_pipeline.errors import TeacherError
from distill_pipeline.recipe.reading import make_recipe

TEACHER = "them/teacher"
OTHER = "them/other"


class _Clock:
    """A clock that only what takes time moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_fifty_teachers_out_of_reach_fit_into_ticks_and_each_has_its_turn() -> None:
    recipes = [make_recipe({"teacher": f"them/teacher-{number}"}, source="test") for number in range(50)]
    clock, states = _Clock(), dict[str, BranchState]()
    asked: list[str] = []

    def ask(teacher: str, _: str | None) -> str:
        clock.seconds += ANSWER_TIMEOUT_SECONDS
        asked.append(teacher)
        raise HubUnavailable("no answer", 120)

    for tick in range(13):
        before = clock.seconds
        check = check_teachers(recipes, states, ask, now=1000.0 + 900 * tick, clock=clock)
        assert clock.seconds - before <= 30
        assert any("wait for the next tick" in problem for problem in check.problems)
        states = check.states
    assert set(asked) == {f"them/teacher-{number}" for number in range(50)}


def test_fifty_teachers_out_of_reach_do_not_use_up_the_schedule_s_tick(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = [make_recipe({"teacher": f"them/teacher-{number}"}, source="test") for number in range(50)]
    clock = _Clock()

    def resolve(*_: Any, answer_seconds: float, **__: Any) -> None:
        clock.seconds += answer_seconds
        raise TeacherError("no answer")

    monkeypatch.setattr("distill_pipeline.chain.plan.resolve_teacher", resolve)
    identified, problems = identify_teachers(home, recipes, clock)
    assert not identified
    assert len(problems) == 50
    assert clock.seconds < 30

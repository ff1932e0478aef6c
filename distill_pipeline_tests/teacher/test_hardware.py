"""How much work a GPU gets at once, and what the process tells its system about memory."""

from __future__ import annotations

import sys

import pytest

from distill_pipeline.teacher.hardware import keep_freed_memory, power_of_two_below


@pytest.mark.parametrize(("tokens", "expected"), [(0, 512), (700, 512), (5000, 4096), (10**9, 65536)])
def test_a_token_budget_moves_in_powers_of_two_within_bounds(tokens: int, expected: int) -> None:
    assert power_of_two_below(tokens) == expected


def test_the_allocator_is_asked_where_it_can_be() -> None:
    assert keep_freed_memory() is keep_freed_memory()
    assert keep_freed_memory() == (sys.platform == "linux")

"""What the process tells its system about memory."""

from __future__ import annotations

import sys

from distill_pipeline.teacher.memory import keep_freed_memory


def test_the_allocator_is_asked_where_it_can_be() -> None:
    assert keep_freed_memory() is keep_freed_memory()
    assert keep_freed_memory() == (sys.platform == "linux")

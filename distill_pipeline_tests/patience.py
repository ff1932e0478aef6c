"""Patience whose waits take no time."""

from __future__ import annotations

from distill_pipeline.hub.access import Patience


class FakeTime:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.now += seconds
        self.waits.append(seconds)

    def patience(self, seconds: float = 60) -> Patience:
        """Return patience by this clock."""
        return Patience(seconds, sleep=self.sleep, clock=lambda: self.now)

"""At the end, a line for each runtime: its version and how far its vectors are from the golden ones."""

from __future__ import annotations

import pytest

from distill_pipeline_tests.runtimes.pins import PACKAGES

DIFFERENCES = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for what the tests find."""
    config.stash[DIFFERENCES] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what the tests found."""
    found = config.stash[DIFFERENCES]
    if found:
        terminalreporter.section("largest difference from a golden vector")
    for runtime, difference in found.items():
        packages = PACKAGES.get(runtime) or PACKAGES[runtime.partition(", ")[0]]  # another form of the same runtime's
        terminalreporter.write_line(f"{runtime:<32} {packages[0]:<44} {difference}")

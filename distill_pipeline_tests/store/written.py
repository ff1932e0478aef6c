"""What tests of shared stores write, and its key."""

from __future__ import annotations

from pathlib import Path

from distill_pipeline.store.keys import StageKey

KEY = StageKey.of({"stage": "student_matrix", "recipe": {"a": 1}})
ROWS = "rows/rows.bin"


def write(folder: Path) -> dict[str, int]:
    """Write an output of two files, one of them empty and one in a folder; returns its facts."""
    (folder / "rows").mkdir()
    (folder / ROWS).write_bytes(b"12345678")
    (folder / "more.bin").write_bytes(b"")
    return {"rows": 8}

"""The local registry: one folder per released recipe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill_pipeline.distillation.student import verify_golden
from distill_pipeline.store import MANIFEST, file_table, replace_folder


def place(model: Path, report: Path, card: str, target: Path) -> dict[str, dict[str, Any]]:
    """Put a student with its card and evidence into the registry, in place of the release before.

    Args:
        model: The student's folder.
        report: The quality report.
        card: The model card.
        target: The release's folder; it appears whole or not at all.

    Returns:
        `{name: {sha256, size}}` of the released files.

    Raises:
        StudentError: The copy doesn't give the golden vectors.
    """
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(model, partial, ignore=shutil.ignore_patterns(MANIFEST))
    shutil.copy2(report, partial / report.name)
    (partial / "README.md").write_text(card, encoding="utf-8")
    verify_golden(partial)
    files = file_table(partial)
    replace_folder(partial, target)
    return files


def is_intact(target: Path, files: Mapping[str, Any]) -> bool:
    """Whether the release folder holds exactly these files with these bytes."""
    return target.is_dir() and file_table(target) == files

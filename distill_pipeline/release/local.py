"""The local registry: one folder per released recipe, whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill_pipeline.disk import file_table


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside a release's folder, and remove it at the end if it is still there."""
    folder = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_intact(target: Path, files: Mapping[str, Any]) -> bool:
    """Whether the release folder holds exactly these files with these bytes."""
    return target.is_dir() and file_table(target) == files

"""Pictures of a stage: stored in its output's folder `figures`, shown as metadata. Imports nothing that draws."""

import base64
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from distill_pipeline.figures.captions import caption_of
from distill_pipeline.student.files import FIGURES


def write_pictures(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Write PNG files, given by name without suffix, into a stage's folder."""
    (folder / FIGURES).mkdir(exist_ok=True)
    for name, content in pictures.items():
        (folder / FIGURES / f"{name}.png").write_bytes(content)


def copy_pictures(earlier: Path, folder: Path) -> None:
    """Copy an earlier stage's pictures, so that the release finds them with the model."""
    if (earlier / FIGURES).is_dir():
        shutil.copytree(earlier / FIGURES, folder / FIGURES, dirs_exist_ok=True)


def pictures_metadata(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Return the existing pictures among these as metadata that the UI shows."""
    found = {}
    for name in names:
        path = folder / FIGURES / f"{name}.png"
        if path.exists():
            caption = caption_of(name)
            content = base64.b64encode(path.read_bytes()).decode()
            found[name] = dg.MetadataValue.md(
                f"![{caption.alt}](data:image/png;base64,{content})\n\n{caption.explanation}"
            )
    return found

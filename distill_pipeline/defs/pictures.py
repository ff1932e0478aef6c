"""Pictures as metadata that the UI shows. Imports nothing that draws."""

import base64
from pathlib import Path
from typing import Any

import dagster as dg

from distill_pipeline.figures.captions import CAPTIONS
from distill_pipeline.student.files import FIGURES


def pictures_metadata(folder: Path) -> dict[str, Any]:
    """Return the pictures in a folder's folder `figures` as metadata that the UI shows, in the captions' order."""
    found = {}
    for name, caption in CAPTIONS.items():
        path = folder / FIGURES / f"{name}.png"
        if path.exists():
            content = base64.b64encode(path.read_bytes()).decode()
            found[name] = dg.MetadataValue.md(
                f"![{caption.alt}](data:image/png;base64,{content})\n\n{caption.explanation}"
            )
    return found

"""Text that fits a terminal's width: wrapped, or in columns beside each other."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Sequence

GAP = "  "
LEAST_WIDTH = 24


def side_by_side(columns: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the columns' lines beside each other, each cut to its share of the width.

    Columns come one below the other where their share would be too narrow to read.
    """
    share = (width - len(GAP) * (len(columns) - 1)) // len(columns)
    if share < LEAST_WIDTH and len(columns) > 1:
        return [fitted(line, width).rstrip() for column in columns for line in column]
    height = max(map(len, columns))
    rows = zip(*([*column, *[""] * (height - len(column))] for column in columns), strict=True)
    return [GAP.join(fitted(cell, share) for cell in row).rstrip() for row in rows]


def indented(text: str, columns: int) -> str:
    """Return the text wrapped to the terminal's width, each line after so many spaces."""
    space = " " * columns
    width = max(terminal_width(), columns + LEAST_WIDTH)
    return textwrap.fill(text, width, initial_indent=space, subsequent_indent=space)


def terminal_width() -> int:
    """Return the terminal's width in cells, or 120 where there is none."""
    return shutil.get_terminal_size((120, 24)).columns


def fitted(text: str, width: int) -> str:
    """Return one line of exactly `width` terminal cells: cut with "…" or filled with spaces, nothing unprintable."""
    text = "".join(character if character.isprintable() else " " for character in text)
    if sum(map(_cells, text)) > width:
        kept, used = "", 1
        for character in text:
            used += _cells(character)
            if used > width:
                break
            kept += character
        text = f"{kept.rstrip()}…"
    return text + " " * max(0, width - sum(map(_cells, text)))


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1

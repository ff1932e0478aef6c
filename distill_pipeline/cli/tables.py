"""Tables for people at a terminal; in a pipe or a log the same rows as plain lines, neither wrapped nor cut."""

import sys
from collections.abc import Collection, Sequence
from itertools import zip_longest

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table


def table(*titles: str, right: Collection[str] = (), header: bool = False) -> Table:
    """Return an empty table without rules, whose cells wrap at a narrow terminal; `right` are right-aligned columns."""
    columns = (Column(title, justify="right" if title in right else "left", overflow="fold") for title in titles)
    return Table(*columns, box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0))


def side_by_side(columns: Sequence[Sequence[str]]) -> RenderableType:
    """Return lists of lines side by side, each line cut to its share of the terminal; without one, in sequence.

    Unprintable characters become spaces.
    """
    shown = [["".join(char if char.isprintable() else " " for char in line) for line in lines] for lines in columns]
    if not sys.stdout.isatty():
        return Group(*(line for lines in shown for line in lines))
    grid = Table.grid(*(Column(no_wrap=True, ratio=1) for _ in shown), padding=(0, 2, 0, 0), expand=True)
    for row in zip_longest(*shown, fillvalue=""):
        grid.add_row(*row)
    return grid


def rendered(*parts: RenderableType) -> str:
    """Return text for standard output: styled and as wide as the terminal, or plain without one."""
    terminal = sys.stdout.isatty()
    # Names and texts are data: nothing in them is markup, an emoji's code or a number to colour.
    console = Console(
        force_terminal=terminal, width=None if terminal else sys.maxsize, markup=False, emoji=False, highlight=False
    )
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in captured.get().removesuffix("\n").split("\n"))

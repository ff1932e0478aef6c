"""The picture of recipes side by side: agreement against size and against speed, the Pareto fronts marked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from distill_pipeline.figures.style import ACCENT, INK, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 24
"""More names than these leave no room for the picture; then only those on a front are named."""

_COLUMNS = 2
_FIGURE_SPACE = "\N{FIGURE SPACE}"
"""As wide as a digit."""

_NAME_FONT, _NAME_HEIGHT = 8.5, 0.19


class ComparedRecipe(Protocol):
    """What the picture shows of one recipe."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def bytes(self) -> int:
        """Size of the student's weights."""

    @property
    def texts_per_second(self) -> int:
        """Speed of the student."""

    @property
    def similarity_correlation(self) -> float:
        """Agreement with the teacher."""

    @property
    def front(self) -> tuple[str, ...]:
        """`size`, `speed`, both or neither."""


def quality_against_size_and_speed(rows: Sequence[ComparedRecipe]) -> bytes:
    """Draw two panels with one numbered dot a recipe; a line joins those that nothing else beats.

    Args:
        rows: In the table's order, whose numbers the dots bear.

    Returns:
        PNG bytes.
    """
    short = strip_common_prefix([row.name for row in rows])
    named = [number for number, row in enumerate(rows) if len(rows) <= _NAMED or row.front]
    lines = -(-len(named) // _COLUMNS)

    def paint(figure: Figure) -> None:
        grid = figure.add_gridspec(2, 1, height_ratios=[3.7, _NAME_HEIGHT * lines + 0.1])
        picture, names = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
        size, speed = picture.subplots(1, 2, sharey=True)
        _panel(size, rows, "size", [row.bytes / 1e6 for row in rows], "size in MB")
        _panel(
            speed,
            rows,
            "speed",
            [row.texts_per_second / 1e3 for row in rows],
            "thousand texts per second of processor time",
        )
        size.set_ylabel("rank correlation with the teacher")
        size.set_title("Agreement against size")
        speed.set_title("Agreement against speed")
        for place, number in enumerate(named):
            names.text(
                0.06 + place // lines / _COLUMNS * 0.94,
                1 - (place % lines + 0.5) / lines,
                f"{number + 1}".rjust(2, _FIGURE_SPACE) + f"  {short[number]}",
                fontsize=_NAME_FONT,
                color=ACCENT if rows[number].front else INK,
                va="center",
            )

    return draw(paint, width=8.2, height=3.8 + _NAME_HEIGHT * lines)


def _panel(axes: Axes, rows: Sequence[ComparedRecipe], front: str, across: Sequence[float], label: str) -> None:
    points = [(x, row.similarity_correlation, front in row.front) for x, row in zip(across, rows, strict=True)]
    best = sorted((x, y) for x, y, on_front in points if on_front)
    axes.plot([x for x, _ in best], [y for _, y in best], color=ACCENT, linewidth=1.5, zorder=1)
    axes.plot(
        [x for x, _, on_front in points if on_front],
        [y for _, y, on_front in points if on_front],
        "o",
        color=ACCENT,
        markersize=7,
    )
    axes.plot(
        [x for x, _, on_front in points if not on_front],
        [y for _, y, on_front in points if not on_front],
        "o",
        markerfacecolor="none",
        markeredgecolor=INK,
        markersize=6,
    )
    for number, (x, y, on_front) in enumerate(points, 1):
        above = number % 2  # neighbours in the table are near each other here too
        axes.annotate(
            str(number),
            (x, y),
            xytext=(0, 6 if above else -6),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=_NAME_FONT,
            color=ACCENT if on_front else INK,
        )
    axes.set_xlabel(label)
    axes.margins(0.1, 0.12)


def strip_common_prefix(names: Sequence[str]) -> list[str]:
    """Return the names without the parts, between full stops, that all of them begin with; one name stays whole."""
    if len(names) < 2:
        return list(names)
    parts = [name.split(".") for name in names]
    common = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False)))
    return [".".join(part[common:]) or part[-1] for part in parts]

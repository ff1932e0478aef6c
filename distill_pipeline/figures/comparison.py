"""The picture that compares recipes: agreement against size and against speed, with the Pareto fronts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from distill_pipeline.figures.style import ACCENT, INK, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_NAMES = 24
"""More names leave no room for the picture; then only recipes on a front are named."""
_COLUMNS = 2
_FIGURE_SPACE = "\N{FIGURE SPACE}"
"""As wide as a digit."""
_NAME_FONT, _NAME_HEIGHT = 8.5, 0.19


class _Recipe(Protocol):
    """What the picture shows of a recipe; `front` is `size`, `speed`, both or neither."""

    @property
    def name(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def texts_per_second(self) -> int: ...
    @property
    def similarity_correlation(self) -> float: ...
    @property
    def front(self) -> tuple[str, ...]: ...


@picture
def quality_against_size_and_speed(figure: Figure, rows: Sequence[_Recipe]) -> None:
    """Draw two panels with a dot for each recipe, numbered in the given order, and a line along the Pareto front."""
    short = strip_common_prefix([row.name for row in rows])
    named = [number for number, row in enumerate(rows) if len(rows) <= _MAX_NAMES or row.front]
    lines = -(-len(named) // _COLUMNS)
    figure.set_size_inches(8.2, 3.8 + _NAME_HEIGHT * lines)
    grid = figure.add_gridspec(2, 1, height_ratios=[3.7, _NAME_HEIGHT * lines + 0.1])
    panels, names = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    size, speed = panels.subplots(1, 2, sharey=True)
    _panel(size, rows, "size", [row.bytes / 1e6 for row in rows], "size in MB")
    speeds = [row.texts_per_second / 1e3 for row in rows]
    _panel(speed, rows, "speed", speeds, "thousand texts per second of processor time")
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


def _panel(axes: Axes, rows: Sequence[_Recipe], front: str, values: Sequence[float], label: str) -> None:
    points = [(x, row.similarity_correlation, front in row.front) for x, row in zip(values, rows, strict=True)]
    best = sorted((x, y) for x, y, on_front in points if on_front)
    others = [(x, y) for x, y, on_front in points if not on_front]
    axes.plot([x for x, _ in best], [y for _, y in best], color=ACCENT, linewidth=1.5, zorder=1)
    axes.plot([x for x, _ in best], [y for _, y in best], "o", color=ACCENT, markersize=7)
    axes.plot([x for x, _ in others], [y for _, y in others], "o", mfc="none", mec=INK, markersize=6)
    for number, (x, y, on_front) in enumerate(points, 1):
        above = number % 2  # neighbours in the table are close here too
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
    """Return the names without the dot-separated parts that all of them start with; a single name stays whole."""
    if len(names) < 2:
        return list(names)
    parts = [name.split(".") for name in names]
    common = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False)))
    return [".".join(part[common:]) or part[-1] for part in parts]

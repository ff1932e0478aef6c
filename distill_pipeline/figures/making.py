"""Pictures of how a student was made: the cut, the weights, the norms, the map of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.figures.style import ACCENT, INK, SECOND, THIRD, font_covers, picture, set_rank_axis, single_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[np.floating]
Label = tuple[str, float, float]
"""A word, and the rank and weight to write it at."""
Percentiles = tuple[Values, Values]
"""Ranks, (bins,), and the 10th, 50th and 90th percentile of a quantity at each, (3, bins)."""


@picture
def variance_curve(figure: Figure, cumulative: Sequence[float], kept: int, explained: float) -> None:
    """Draw the cumulative share of variance by direction, with the cut after the kept ones and their share."""
    axes = single_axes(figure, "Explained variance", "principal directions", "cumulative share of variance")
    total = len(cumulative)
    axes.plot(range(total + 1), [0, *cumulative], color=ACCENT)
    axes.axvspan(0, kept, color=ACCENT, alpha=0.12, linewidth=0)
    axes.plot([kept], [cumulative[kept - 1]], "o", color=SECOND, markersize=7, zorder=3)
    axes.axvline(kept, color=SECOND, linewidth=1, linestyle="--")
    # Beside the cut, on the side with room, and below the curve.
    left = kept > total / 2
    axes.annotate(
        f"{kept:,} of {total:,} directions\n{explained:.1%} of the variance",
        (kept, min(cumulative[kept - 1], 0.5) * 0.5),
        xytext=(-8 if left else 8, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        color=SECOND,
    )
    axes.set_xlim(0, total)
    axes.set_ylim(0, 1.03)


@picture
def weights_by_rank(
    figure: Figure, dots: Mapping[str, tuple[npt.NDArray[np.integer], Values]], labels: Sequence[Label], entries: int
) -> None:
    """Draw the weights of entries, by their kind, against their frequency ranks, with labels for some."""
    axes = single_axes(figure, "Weight of entries", "frequency rank", "weight")
    for (kind, (ranks, weights)), colour in zip(dots.items(), (ACCENT, THIRD, SECOND), strict=False):
        axes.plot(ranks, weights, ".", color=colour, markersize=3, alpha=0.6, label=kind, rasterized=True)
    set_rank_axis(axes, entries)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.12)
    _label_points(axes, labels)
    figure.legend(loc="outside lower center", ncols=len(dots), markerscale=3)


def _label_points(axes: Axes, labels: Sequence[Label]) -> None:
    """Write labels above on the left or, where weights rise, alternately below on the right, where there is room."""
    covered = font_covers(text for text, _, _ in labels)
    shown = [label for label, possible in zip(labels, covered, strict=True) if possible]
    for number, (text, rank, weight) in enumerate(shown):
        above = number % 2 == 0 or number > len(shown) / 2
        axes.plot([rank], [weight], "o", color=INK, markersize=5, fillstyle="none")
        axes.annotate(
            text,
            (rank, weight),
            xytext=(-4, 6) if above else (5, -6),
            textcoords="offset points",
            ha="right" if above else "left",
            va="bottom" if above else "top",
        )


@picture
def norms_by_rank(figure: Figure, teacher: Percentiles, student: Percentiles, zero_rows: int) -> None:
    """Draw norms over their median by frequency rank, of the teacher's vectors and the student's rows."""
    axes = single_axes(figure, "Row norms before and after", "frequency rank", "norm / median norm")
    for side, colour, label in ((teacher, THIRD, "teacher's vectors"), (student, ACCENT, "student's rows")):
        ranks, (low, middle, high) = side
        axes.fill_between(ranks, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(ranks, middle, color=colour, label=label)
    set_rank_axis(axes, int(student[0][-1]))
    axes.set_ylim(bottom=0)
    note = f"; {zero_rows:,} rows are zero" if zero_rows else ""
    axes.legend(loc="best", title=f"middle and 10 to 90 %{note}", alignment="left")


@picture
def word_map(figure: Figure, words: Sequence[str], places: Values) -> None:
    """Draw words at their places, (words, 2), moved apart where they overlap; the first third in the accent colour."""
    figure.set_figheight(5.8)
    figure.set_layout_engine("none")  # words are placed by the frame, which must not change afterwards
    figure.suptitle(f"The {len(words)} most frequent words", x=0.01, y=0.99, ha="left", va="top", fontsize=11)
    corner, share = np.array((0.01, 0.01)), np.array((0.98, 0.94))
    size = share * figure.bbox.size
    labels: list[Any] = [
        figure.text(0, 0, word if possible else "·", fontsize=7.5, ha="center", va="center",
                    color=ACCENT if number < len(words) / 3 else INK)
        for number, (word, possible) in enumerate(zip(words, font_covers(words), strict=True))
    ]  # fmt: skip
    boxes = [label.get_window_extent() for label in labels]
    low, high = places.min(axis=0), places.max(axis=0)
    at = (places - low) / np.maximum(high - low, 1e-12) * size
    at = move_apart(at, np.array([[box.width + 4, box.height] for box in boxes]), size)
    for label, place in zip(labels, corner + at / figure.bbox.size, strict=True):
        label.set_position(place)


def move_apart(at: Values, sizes: Values, frame: Values) -> Values:
    """Return centres of boxes, (boxes, 2), with overlapping pairs pushed apart the shorter way, within the frame.

    Centres and sizes are (boxes, 2), the frame's size is (2,).
    """
    centres = np.array(at, dtype=np.float64)
    first, second = np.triu_indices(len(centres), k=1)
    min_distance = (sizes[first] + sizes[second]) / 2
    wide = np.ascontiguousarray(min_distance[:, 0])
    for _ in range(150):
        x = centres[:, 0]
        near = np.flatnonzero(np.abs(x[first] - x[second]) < wide)  # few are, so the rest looks at those alone
        apart = centres[first[near]] - centres[second[near]]
        overlap = min_distance[near] - np.abs(apart)
        touching = np.flatnonzero(overlap[:, 1] > 0)
        if not len(touching):
            break
        axis = overlap[touching].argmin(axis=1)
        # Of two at the same place, the earlier one moves down.
        push = 0.35 * overlap[touching, axis] * np.where(apart[touching, axis] > 0, 1, -1)
        np.add.at(centres, (first[near[touching]], axis), push)
        np.add.at(centres, (second[near[touching]], axis), -push)
        centres = np.clip(centres, sizes / 2, frame - sizes / 2)
    return centres

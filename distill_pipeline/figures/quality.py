"""Pictures of what a student lost: similarities side by side, and quality by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distill_pipeline.figures.style import ACCENT, INK, SECOND, THIRD, draw, single_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def similarities(
    teacher: npt.NDArray[np.floating], student: npt.NDArray[np.floating], correlation: float, texts: int
) -> bytes:
    """Draw the cosine similarity of pairs of texts, the student's against the teacher's.

    Args:
        teacher: (pairs,).
        student: (pairs,).
        correlation: Spearman's, of all pairs.
        texts: How many texts the pairs are of.
    """

    def paint(figure: Figure) -> None:
        axes = single_axes(figure, f"Similarity of pairs among {texts:,} texts", "cosine, teacher", "cosine, student")
        axes.plot(teacher, student, ".", color=ACCENT, markersize=3, alpha=0.3)
        ends = [float(most((most(teacher), most(student)))) for most in (np.min, np.max)]
        axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
        axes.annotate(
            f"rank correlation {correlation:.3f}", (0.02, 0.97), xycoords="axes fraction", va="top", color=SECOND
        )

    return draw(paint)


@dataclass(frozen=True)
class ModelFigures:
    """One model's figures by kind; a kind that it was not measured on is left out."""

    label: str
    figures: Mapping[str, float]


def quality_by_kind(sides: Sequence[ModelFigures], teacher: Mapping[str, float]) -> bytes:
    """Draw figures by kind as bars, one colour a model, and the teacher's as a mark where it has one.

    Args:
        sides: At most three models; the first is the student that this is about.
        teacher: The teacher's figures by kind.
    """
    kinds = list(sides[0].figures)
    colours = (ACCENT, THIRD, SECOND)
    thickness = 0.8 / len(sides)

    def paint(figure: Figure) -> None:
        axes = single_axes(figure, "Quality by kind", "agreement with the teacher, or score", "")
        for number, (side, colour) in enumerate(zip(sides, colours, strict=False)):
            there = [kind for kind in kinds if kind in side.figures]
            middles = [kinds.index(kind) + (number - (len(sides) - 1) / 2) * thickness for kind in there]
            values = [side.figures[kind] for kind in there]
            axes.barh(middles, values, thickness * 0.9, color=colour, label=side.label)
            for middle, value in zip(middles, values, strict=True):
                axes.annotate(
                    f"{value:.3f}", (max(value, 0), middle), xytext=(3, 0), textcoords="offset points", va="center",
                    fontsize=8,
                )  # fmt: skip
        marked = [kind for kind in kinds if kind in teacher]
        if marked:
            places = [kinds.index(kind) for kind in marked]
            axes.plot([teacher[k] for k in marked], places, "|", color=INK, markersize=24, markeredgewidth=2,
                      label="teacher")  # fmt: skip
        axes.set_yticks(range(len(kinds)), kinds)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        lowest = min(0.0, *(value for side in sides for value in side.figures.values()))
        axes.set_xlim(lowest, 1.08)
        figure.legend(loc="outside lower center", ncols=len(sides) + bool(marked))

    return draw(paint, height=1.6 + (0.2 + 0.22 * len(sides)) * len(kinds))

"""Pictures of a student's quality: its similarities against the teacher's, and figures by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from distill_pipeline.figures.style import ACCENT, INK, SECOND, THIRD, picture, single_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@picture
def similarities(
    figure: Figure, teacher: npt.NDArray[np.floating], student: npt.NDArray[np.floating], correlation: float, texts: int
) -> None:
    """Draw cosine similarities of a sample of pairs of texts, (pairs,), and Spearman's correlation of all pairs."""
    axes = single_axes(figure, f"Similarity of pairs among {texts:,} texts", "cosine, teacher", "cosine, student")
    axes.plot(teacher, student, ".", color=ACCENT, markersize=3, alpha=0.3)
    ends = [float(extreme((extreme(teacher), extreme(student)))) for extreme in (np.min, np.max)]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle="--")
    axes.annotate(f"rank correlation {correlation:.3f}", (0.02, 0.97), xycoords="axes fraction", va="top", color=SECOND)


@picture
def quality_by_kind(figure: Figure, models: Mapping[str, Mapping[str, float]], teacher: Mapping[str, float]) -> None:
    """Draw figures by kind as bars, a colour for each model, and the teacher's as marks.

    Args:
        models: Figures by kind of up to three models, by label; the first is the student, whose kinds are shown.
        teacher: The teacher's figures by kind.
    """
    kinds = list(next(iter(models.values())))
    thickness = 0.8 / len(models)
    figure.set_figheight(1.6 + (0.2 + 0.22 * len(models)) * len(kinds))
    axes = single_axes(figure, "Quality by kind", "agreement with the teacher, or score", "")
    for number, ((label, figures), colour) in enumerate(zip(models.items(), (ACCENT, THIRD, SECOND), strict=False)):
        measured = [kind for kind in kinds if kind in figures]
        middles = [kinds.index(kind) + (number - (len(models) - 1) / 2) * thickness for kind in measured]
        values = [figures[kind] for kind in measured]
        axes.barh(middles, values, thickness * 0.9, color=colour, label=label)
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
    lowest = min(0.0, *(value for figures in models.values() for value in figures.values()))
    axes.set_xlim(lowest, 1.08)
    figure.legend(loc="outside lower center", ncols=len(models) + bool(marked))

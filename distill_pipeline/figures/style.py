"""The style of all pictures: readable on white and on near-black, the same bytes for the same data.

The background is transparent and every colour of medium lightness. Neither pyplot's state nor the user's matplotlibrc
is used, and the files name neither time nor software.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from io import BytesIO
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#7b8490"
"""Text and axes; contrast 3.8 on white and 4.9 on #0d1117."""

ACCENT, SECOND, THIRD = "#2f81f7", "#d9730d", "#8b949e"

DOTS_PER_INCH = 150
_COLOURS = 64


_SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so all machines draw the same letters
    "font.size": 10,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "grid.color": INK,
    "grid.alpha": 0.25,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "lines.linewidth": 2,
}

Parameters = ParamSpec("Parameters")


def picture(paint: Callable[Concatenate[Figure, Parameters], None]) -> Callable[Parameters, bytes]:
    """Turn a function that paints an empty figure into one that returns PNG bytes.

    The figure's size is in inches of `DOTS_PER_INCH` pixels; its width is the most that fits the UI's dialog.
    """

    @wraps(paint)
    def draw(*args: Parameters.args, **kwargs: Parameters.kwargs) -> bytes:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image

        defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
        with matplotlib.rc_context(defaults | _SETTINGS):
            figure = Figure(figsize=(6.6, 3.9), dpi=DOTS_PER_INCH, layout="constrained", facecolor="none")
            canvas = FigureCanvasAgg(figure)
            paint(figure, *args, **kwargs)
            canvas.draw()
            drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))
        # Few colours make it a third of its size: it is part of events and cards.
        small = drawn.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        packed = BytesIO()
        small.save(packed, format="png")
        return packed.getvalue()

    return draw


def single_axes(figure: Figure, title: str, x_label: str, y_label: str) -> Axes:
    """Return the figure's only axes, with a title and labels."""
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return axes


def set_rank_axis(axes: Axes, max_rank: int) -> None:
    """Make the x axis logarithmic, for ranks from 1 to the given one, labelled with plain numbers."""
    axes.set_xscale("log")
    axes.set_xlim(0.8, max_rank * 1.3)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()  # they take longer to draw than all the rest


def font_covers(texts: Iterable[str]) -> list[bool]:
    """Return for each text whether the font has all of its characters."""
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    known = FT2Font(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf").get_charmap()
    return [all(ord(character) in known for character in text) for text in texts]

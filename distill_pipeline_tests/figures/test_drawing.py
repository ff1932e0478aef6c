"""Each picture by itself: readable files, decided by the data alone."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from distill_pipeline.figures.making import (
    Percentiles,
    move_apart,
    norms_by_rank,
    variance_curve,
    weights_by_rank,
    word_map,
)
from distill_pipeline.figures.quality import quality_by_kind, similarities
from distill_pipeline.figures.style import ACCENT, INK, SECOND, THIRD, font_covers

SIZE_LIMIT = 80_000
"""Bytes: events hold pictures, and 700 kB is where Dagster's web server refuses them."""


def _band(slope: float) -> Percentiles:
    ranks = np.geomspace(1, 900, 12)
    return ranks, np.array([ranks * 0 + 0.1, slope * np.log10(ranks) + 0.2, slope * np.log10(ranks) + 1])


def _words(seed: float) -> bytes:
    rng = np.random.default_rng(int(10 * seed))
    return word_map([f"word{number}" for number in range(60)], rng.normal(size=(60, 2)))


def _similarities(noise: float) -> bytes:
    rng = np.random.default_rng(0)
    teacher = rng.uniform(-0.2, 0.9, 4000)
    return similarities(teacher, teacher + rng.normal(scale=noise, size=4000), 0.7, 120)


def _weights(shift: float) -> bytes:
    ranks = np.arange(1, 400)
    dots = {"words": (ranks, np.log(ranks) + shift), "pieces": (ranks, np.sqrt(ranks) / 5)}
    return weights_by_rank(dots, [("the", 1, shift), ("owl", 300, np.log(300) + shift)], 400)


PICTURES: dict[str, Callable[[float], bytes]] = {
    "variance": lambda x: variance_curve((np.linspace(0, 1, 33)[1:] ** x).tolist(), 8, 0.25),
    "weights": _weights,
    "norms": lambda x: norms_by_rank(_band(0), _band(x), zero_rows=2),
    "words": _words,
    "similarities": _similarities,
    "kinds": lambda x: quality_by_kind({"student": {"sts": x, "mrr": -0.1}}, {"sts": 0.9}),
}


def pixels(picture: bytes) -> np.ndarray:
    """Return a picture's pixels, uint8 (height, width, 4)."""
    return np.asarray(Image.open(BytesIO(picture)).convert("RGBA"))


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_decided_by_its_data_alone(name: str) -> None:
    draw = PICTURES[name]
    first = draw(0.3)
    assert draw(0.3) == first
    assert draw(0.8) != first
    image = Image.open(BytesIO(first))
    image.load()
    assert image.format == "PNG"
    assert not image.text  # type: ignore[attr-defined]  # neither time nor software
    assert min(image.size) >= 300
    assert len(first) < SIZE_LIMIT


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_can_be_read_on_white_and_on_near_black(name: str) -> None:
    shown = pixels(PICTURES[name](0.3))
    assert (shown[..., 3] == 0).mean() > 0.4  # the page's own ground shows
    solid = shown[shown[..., 3] > 240][:, :3]
    assert len(solid)
    for ground in ((255, 255, 255), (13, 17, 23)):
        contrasts = _contrast(np.unique(solid, axis=0), np.array(ground))
        assert contrasts.min() > 2.7


@pytest.mark.parametrize("colour", [INK, ACCENT, SECOND, THIRD])
def test_the_colours_stand_out_in_both_modes(colour: str) -> None:
    rgb = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)]])
    assert _contrast(rgb, np.array([255, 255, 255])).min() >= 3
    assert _contrast(rgb, np.array([13, 17, 23])).min() >= 3


def _contrast(colours: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Return the contrast ratio of WCAG 2 of each colour (n, 3) to a ground (3,)."""
    light = [np.where((c := x / 255) <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for x in (colours, ground)]
    luminances = [values @ np.array([0.2126, 0.7152, 0.0722]) + 0.05 for values in light]
    ratio: np.ndarray = np.maximum(luminances[0], luminances[1]) / np.minimum(luminances[0], luminances[1])
    return ratio


def test_the_readers_own_settings_of_matplotlib_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    before = _similarities(0.1)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 20}):
        assert _similarities(0.1) == before
        assert matplotlib.rcParams["font.size"] == 30


def test_words_at_one_place_are_moved_apart_and_stay_in_the_frame() -> None:
    rng = np.random.default_rng(0)
    sizes = np.column_stack([rng.uniform(20, 60, 40), np.full(40, 12.0)])
    at = np.vstack([np.full((8, 2), 50.0), rng.uniform(0, 400, (32, 2))])
    moved = move_apart(at, sizes, np.array([400.0, 400.0]))
    first, second = np.triu_indices(40, k=1)
    overlap = (sizes[first] + sizes[second]) / 2 - np.abs(moved[first] - moved[second])
    assert (overlap.min(axis=1) < 3).all()  # pixels
    assert (moved - sizes / 2 > -1e-9).all()
    assert (moved + sizes / 2 < 400 + 1e-9).all()


def test_words_that_the_font_lacks_are_not_drawn_as_boxes() -> None:
    assert font_covers(["owl", "naïve", "Владивосток", "你好", "owl 你"]) == [True, True, True, False, False]

"""Names and captions of the pictures, for the UI and the card. Imports nothing, since every cache hit reads them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """A picture's alternative text and how to read it; `of_making` unless it shows the student's quality."""

    alt: str
    explanation: str
    of_making: bool = False


VARIANCE = "variance_curve"
WEIGHTS = "weights_by_rank"
NORMS = "norms_by_rank"
WORD_MAP = "word_map"
SIMILARITIES = "similarities"
KINDS = "quality_by_kind"
SINCE_RELEASE = "quality_since_release"

CAPTIONS: Mapping[str, Caption] = {
    VARIANCE: Caption(
        "Cumulative explained variance by principal direction, with the chosen cut",
        "How much of the teacher's variance the kept directions hold.",
        of_making=True,
    ),
    WEIGHTS: Caption(
        "Weight of each vocabulary entry against its frequency rank",
        "How much an entry counts in a text's mean; a frequent word should count little.",
        of_making=True,
    ),
    NORMS: Caption(
        "Row norms by frequency rank, of the teacher's vectors and of the student's rows",
        "Norms over their median: what weighting and refinement did to frequent and rare entries.",
        of_making=True,
    ),
    WORD_MAP: Caption(
        "Two-dimensional map of the most frequent words",
        "Words with similar rows lie near each other; the hundred most frequent are blue.",
        of_making=True,
    ),
    SIMILARITIES: Caption(
        "Similarity of pairs of texts, student against teacher",
        "Each dot is a pair of texts; a student in full agreement would order them as the teacher does.",
    ),
    KINDS: Caption(
        "Quality by kind, of the student and, where measured, of model2vec's plain recipe",
        "The same teacher, texts and dimensions; further right is better.",
    ),
    SINCE_RELEASE: Caption(
        "Quality by kind, of this student, of model2vec's plain recipe and of the release before",
        "Further right is better.",
    ),
}


def caption_of(name: str) -> Caption:
    """Return a picture's caption, or its name in words if it has none."""
    return CAPTIONS.get(name) or Caption(name.replace("_", " "), "")

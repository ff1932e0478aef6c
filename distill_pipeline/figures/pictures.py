"""Each stage's pictures, from its data: `overview` computes what the other modules draw."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.figures import captions
from distill_pipeline.figures.making import norms_by_rank, variance_curve, weights_by_rank, word_map
from distill_pipeline.figures.overview import (
    ENTRY_GROUPS,
    Ranking,
    map_to_plane,
    norm_percentiles,
    rank_entries,
    row_norms,
    sample_by_rank,
    words_to_label,
)
from distill_pipeline.figures.quality import quality_by_kind, similarities
from distill_pipeline.fitting.reduction import MATRIX, read_weights
from distill_pipeline.quality.measures import figures_by_kind
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.vocabulary.vocabulary import Vocabulary

Pictures = dict[str, bytes]
"""PNG files by name without suffix."""

_DOTS = 1500
_MAPPED, _MIN_MAPPED = 300, 8


def draw_rows(vocabulary: Vocabulary, entries: Embeddings, folder: Path, facts: Mapping[str, Any]) -> Pictures:
    """Draw how the rows in the folder's `matrix.parquet` were made: their weights, norms, and the cut, if any.

    `entries` are the teacher's vectors of the vocabulary's entries, `facts` those of the stage.
    """
    ranking = rank_entries(vocabulary)
    pictures = {
        captions.WEIGHTS: _weights(ranking, read_weights(folder)),
        captions.NORMS: _norms(ranking, entries, Embeddings([folder / MATRIX])),
    }
    if "cumulative_variance" in facts:
        pictures[captions.VARIANCE] = variance_curve(
            facts["cumulative_variance"], facts["dimensions"], facts["explained_variance"]
        )
    return pictures


def _weights(ranking: Ranking, weights: npt.NDArray[np.floating]) -> bytes:
    shown = {label: sample_by_rank(ranking, kind, _DOTS) for kind, label in ENTRY_GROUPS.items()}
    dots = {label: (ranking.ranks[rows], weights[rows]) for label, rows in shown.items() if len(rows)}
    labels = [(ranking.texts[row], float(ranking.ranks[row]), float(weights[row])) for row in words_to_label(ranking)]
    return weights_by_rank(dots, labels, ranking.entries)


def _norms(ranking: Ranking, before: Embeddings, after: Embeddings) -> bytes:
    teacher, student = row_norms(before.batches()), row_norms(after.batches())
    percentiles = norm_percentiles(ranking, teacher), norm_percentiles(ranking, student)
    return norms_by_rank(*percentiles, zero_rows=int((student == 0).sum()))


def draw_words(vocabulary: Vocabulary, rows: npt.NDArray[np.floating]) -> Pictures:
    """Draw the map of the most frequent words by the student's rows, (entries, dims), unless there are too few."""
    ranking = rank_entries(vocabulary)
    shown = ranking.words(_MAPPED)
    if len(shown) < _MIN_MAPPED:
        return {}
    return {captions.WORD_MAP: word_map([ranking.texts[row] for row in shown], map_to_plane(rows[shown]))}


def draw_quality(
    report: Mapping[str, Any], teacher: npt.NDArray[np.floating], student: npt.NDArray[np.floating]
) -> Pictures:
    """Draw a quality report, given both sides' cosine similarities of a sample of its pairs of texts, (pairs,) each."""
    return {
        captions.SIMILARITIES: similarities(teacher, student, report["similarity_correlation"], report["texts"]),
        captions.KINDS: draw_kinds(report),
    }


def draw_kinds(report: Mapping[str, Any], released: Mapping[str, float] | None = None) -> bytes:
    """Draw a report's figures by kind, next to those of the last release if given."""
    figures: dict[str, Mapping[str, float]] = {"student": figures_by_kind(report)}
    if report["model2vec"]:
        figures["model2vec.distill"] = figures_by_kind(report["model2vec"])
    if released:
        figures["last release"] = released
    return quality_by_kind(figures, figures_by_kind(report, "teacher"))

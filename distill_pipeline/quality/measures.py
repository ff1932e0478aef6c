"""Figures of a quality report by kind: agreement with the teacher, and the mean score on each kind of labelled set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEASURES: Mapping[str, str] = {
    "similarity_correlation": "similarity order",
    "neighbour_overlap": "10 nearest shared",
    "nearest_retrieved": "nearest found",
}
"""The report's measures without labels, each better when it is greater, and short names of them."""

FLOORS = ("similarity_correlation", "neighbour_overlap")
"""The measures for which a recipe sets a floor: `min_similarity_correlation`, `min_neighbour_overlap`."""


def by_kind(report: Mapping[str, Any], side: str = "student") -> dict[str, float]:
    """Return a side's figures by kind; the teacher agrees with itself, so it has those of labelled sets alone.

    Args:
        report: A quality report, or its part about model2vec.
        side: student or teacher.
    """
    found = {label: report[name] for name, label in MEASURES.items()} if side == "student" else {}
    scores: dict[str, list[float]] = {}
    for entry in report.get("labelled_sets", ()):
        if side in entry:
            scores.setdefault(entry["kind"], []).append(entry[side])
    return {**found, **{kind: round(sum(values) / len(values), 6) for kind, values in scores.items()}}


def comparable_figures(released: Mapping[str, Any] | None, report: Mapping[str, Any]) -> dict[str, float]:
    """Return the released student's figures by kind, without those that can't be compared with a new report's.

    These are figures on another number of texts and means over other sets. Empty when nothing was released, or when
    the report is about the released student.
    """
    if released is None or released.get("model_digest") == report["model_digest"]:
        return {}
    found = by_kind(released) if MEASURES.keys() <= released.keys() else {}
    kept = set() if released.get("texts") != report["texts"] else set(MEASURES.values())
    kept |= {kind for kind, sets in _sets(report).items() if _sets(released).get(kind) == sets}
    return {kind: value for kind, value in found.items() if kind in kept}


def _sets(report: Mapping[str, Any]) -> dict[str, list[str]]:
    sets: dict[str, list[str]] = {}
    for entry in report.get("labelled_sets", ()):
        sets.setdefault(entry["kind"], []).append(entry["set"])
    return sets


def kinds_table(report: Mapping[str, Any], released: Mapping[str, float]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the header and rows of a table: by kind the teacher, the student, model2vec and the last release.

    Columns without a figure are left out.
    """
    columns = {
        "teacher": by_kind(report, "teacher"),
        "student": by_kind(report),
        "model2vec": by_kind(report["model2vec"]) if report.get("model2vec") else {},
        "last release": released,
    }
    columns = {name: figures for name, figures in columns.items() if figures}
    rows = [
        (kind, *(f"{figures[kind]:.3f}" if kind in figures else "" for figures in columns.values()))
        for kind in columns["student"]
    ]
    return ["kind", *columns], rows

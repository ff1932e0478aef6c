"""Figures of a quality report by kind: agreement with the teacher, and the mean score on each kind of labelled set."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.filesize import decimal

MEASURES: Mapping[str, str] = {
    "similarity_correlation": "similarity order",
    "neighbour_overlap": "10 nearest shared",
    "nearest_retrieved": "nearest found",
}
"""The report's measures without labels, and their short names; for all of them, greater is better."""

FLOORS = ("similarity_correlation", "neighbour_overlap")
"""The measures for which a recipe sets a floor: `min_similarity_correlation`, `min_neighbour_overlap`."""


def identity_of(entry: Mapping[str, Any]) -> str:
    """Return what tells a labelled set in a report from others, its content included."""
    return json.dumps([entry.get(name) for name in ("kind", "set", "sha256", "revision")], sort_keys=True)


def figures_by_kind(report: Mapping[str, Any], side: str = "student") -> dict[str, float]:
    """Return the figures by kind of `student` or `teacher` in a report, or in its part about model2vec.

    The teacher, which agrees with itself, has those of labelled sets alone.
    """
    figures = {label: report[name] for name, label in MEASURES.items()} if side == "student" else {}
    scores = _by_kind(report, side)
    return figures | {kind: round(sum(values) / len(values), 6) for kind, values in scores.items()}


def on_the_same_texts(released: Mapping[str, Any], report: Mapping[str, Any]) -> bool:
    """Whether two reports' measures without labels are about the same texts; a report of another age doesn't say."""
    return bool(released.get("texts_sha256") == report["texts_sha256"])


def comparable_figures(released: Mapping[str, Any] | None, report: Mapping[str, Any]) -> dict[str, float]:
    """Return the released student's figures by kind that can be compared with a report's.

    That excludes figures on other texts, and means over sets of other content. Empty if nothing was released, or this
    very student.
    """
    if released is None or released.get("model_digest") == report["model_digest"]:
        return {}
    figures = figures_by_kind(released) if MEASURES.keys() <= released.keys() else {}
    kept = set(MEASURES.values()) if on_the_same_texts(released, report) else set()
    sets, released_sets = _sets_by_kind(report), _sets_by_kind(released)
    kept |= {kind for kind in sets if released_sets.get(kind) == sets[kind]}
    return {kind: value for kind, value in figures.items() if kind in kept}


def _sets_by_kind(report: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in report.get("labelled_sets", ()):
        found.setdefault(entry["kind"], []).append(identity_of(entry))
    return found


def _by_kind(report: Mapping[str, Any], field: str) -> dict[str, list[Any]]:
    """Return a field of each labelled set that has it, by the sets' kind."""
    values: dict[str, list[Any]] = {}
    for entry in report.get("labelled_sets", ()):
        if field in entry:
            values.setdefault(entry["kind"], []).append(entry[field])
    return values


def _with_error(value: float, error: float | None) -> str:
    """Return a score and its standard error, if that is known."""
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"


def sets_table(report: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the header and rows of a table of scores and standard errors, with a row a labelled set."""
    baseline = (report.get("model2vec") or {}).get("labelled_sets", ())
    rows = []
    for number, entry in enumerate(report.get("labelled_sets", ())):
        sides = [
            (entry, "teacher"),
            (entry, "student"),
            *((other, "student") for other in baseline[number : number + 1]),
        ]
        scores = (_with_error(side[of], side.get(f"{of}_error")) for side, of in sides)
        rows.append((entry["set"], entry["kind"], *scores))
        if mixed := entry.get("static_query_teacher_documents"):
            beside = [""] * (len(sides) - 2)
            score = _with_error(mixed["score"], mixed["error"])
            rows.append((f"{entry['set']}: static queries, the teacher's documents", entry["kind"], "", score, *beside))
    return ["set", "kind", "teacher", "student", *(["`model2vec.distill`"] if baseline else [])], rows


def kinds_table(report: Mapping[str, Any], released: Mapping[str, float]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the header and rows of a table with a row a kind; columns without any figure are left out."""
    columns = {
        "teacher": figures_by_kind(report, "teacher"),
        "student": figures_by_kind(report),
        "model2vec": figures_by_kind(report["model2vec"]) if report.get("model2vec") else {},
        "last release": released,
    }
    columns = {name: figures for name, figures in columns.items() if figures}
    rows = [
        (kind, *(f"{figures[kind]:.3f}" if kind in figures else "" for figures in columns.values()))
        for kind in columns["student"]
    ]
    return ["kind", *columns], rows


def cuts_table(
    rows: int, dimensions: int, report: Mapping[str, Any], cuts: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the header and lines of a table of a student of so many rows and dimensions, and of its cuts, by size."""
    scores = [entry["student"] for entry in report["labelled_sets"] if entry["kind"] != "mteb"]
    whole = {**report, "dimensions": dimensions, "score": sum(scores) / len(scores) if scores else None}
    lines = []
    for student in (whole, *cuts):
        dims, score = student["dimensions"], student["score"]
        # int8 has a factor of four bytes for each row.
        sizes = decimal(rows * dims * 2), decimal(rows * (dims + 4))
        correlation = f"{student['similarity_correlation']:.3f}"
        lines.append((str(dims), *sizes, correlation, *([] if score is None else [f"{score:.3f}"])))
    header = ["dimensions", "float16", "int8", "correlation of similarities"]
    return [*header, *(["mean score on the labelled sets"] if scores else [])], lines

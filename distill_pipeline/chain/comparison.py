"""Recipes side by side: what their quality reports say, and which of them nothing else beats.

The asset `recipe_comparison` and `distill-pipeline compare` are both made here. Knows nothing of Dagster.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from distill_pipeline.chain.plan import plan_stages
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.errors import DistillError
from distill_pipeline.quality.agreement import evaluation_texts
from distill_pipeline.quality.speed import measure_speeds
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import write_json
from distill_pipeline.store.environment import machine
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store
from distill_pipeline.store.output import Output
from distill_pipeline.student.files import REPORT

STAGE = "recipe_comparison"
VERSION = "1"
"""Changes whenever the same reports give another comparison."""

TABLE, SHEET, FIGURE = "comparison.json", "comparison.csv", "comparison.png"


@dataclass(frozen=True)
class Report:
    """One recipe's finished evidence: its quality report and the student that it is about."""

    recipe: Recipe
    quality: Output
    student: Output


@dataclass(frozen=True)
class Row:
    """One recipe in the comparison.

    Attributes:
        bytes: Of the student's weights.
        labelled_mean: Mean score on the recipe's labelled sets; None when it has none.
        front: Among the best for their `size`, for their `speed`, both, or neither, by similarity_correlation.
    """

    name: str
    teacher: str
    dims: int
    rows: int
    bytes: int
    texts_per_second: int
    similarity_correlation: float
    neighbour_overlap: float
    nearest_retrieved: float
    labelled_mean: float | None
    front: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The rows, best agreement first, and what to bear in mind when reading them."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def find_reports(store: Store, recipes: Iterable[Recipe]) -> tuple[list[Report], dict[str, str]]:
    """Return the reports there are of the recipes' present settings, and why the others have none, by name.

    A recipe's teacher is taken as it was when its last report was made: so nothing is asked of the Hub here.
    """
    reports, absent = [], {}
    for recipe in recipes:
        try:
            found = _find_report(store, recipe)
        except DistillError as error:  # damaged, or a corpus or a labelled set that is gone
            found = str(error)
        if isinstance(found, Report):
            reports.append(found)
        else:
            absent[recipe.name] = f"{found}. Make it: distill-pipeline run {recipe.name}"
    return reports, absent


def _find_report(store: Store, recipe: Recipe) -> Report | str:
    made_of = store.recorded_inputs(recipe.name, "quality_report")
    if made_of is None:
        return "no quality report was made yet"
    keys = stage_keys(recipe, made_of["teacher"])
    wanting = [stage for stage in plan_stages(store, recipe.name, keys) if stage.state != "fresh"]
    if {"static_model", "quality_report"} & {stage.stage for stage in wanting}:
        return f"its last report is of other settings, or is gone ({wanting[0].stage}: {wanting[0].why})"
    return Report(recipe, store.get(keys["quality_report"]), store.get(keys["static_model"]))


def comparison_key(reports: Sequence[Report]) -> StageKey:
    """Return where the comparison of these reports lies in the store."""
    made_of = {report.recipe.name: report.quality.key.fingerprint for report in reports}
    return StageKey.of({"stage": STAGE, "code_version": VERSION, "reports": made_of})


def compare(reports: Sequence[Report]) -> Comparison:
    """Read the reports, measure all students' speed anew side by side, and mark the Pareto fronts."""
    texts = evaluation_texts()
    speeds = measure_speeds({report.recipe.name: report.student.folder for report in reports}, texts)
    rows = sorted((_row(report, speeds) for report in reports), key=lambda row: -row.similarity_correlation)
    quality = [row.similarity_correlation for row in rows]
    by_size = pareto_front(quality, [-row.bytes for row in rows])
    by_speed = pareto_front(quality, [row.texts_per_second for row in rows])
    marked = [
        replace(row, front=tuple(front for front, on in (("size", small), ("speed", fast)) if on))
        for row, small, fast in zip(rows, by_size, by_speed, strict=True)
    ]
    return Comparison(tuple(marked), tuple(_notes(reports, len(texts))))


def _row(report: Report, speeds: Mapping[str, int]) -> Row:
    quality = json.loads((report.quality.folder / REPORT).read_text(encoding="utf-8"))
    scores = [labelled["student"] for labelled in quality["labelled_sets"]]
    return Row(
        name=report.recipe.name,
        teacher=report.recipe.teacher_label,
        dims=report.student.facts["dimensions"],
        rows=report.student.facts["rows"],
        bytes=quality["student_bytes"],
        texts_per_second=speeds[report.recipe.name],
        similarity_correlation=quality["similarity_correlation"],
        neighbour_overlap=quality["neighbour_overlap"],
        nearest_retrieved=quality["nearest_retrieved"],
        labelled_mean=round(sum(scores) / len(scores), 6) if scores else None,
    )


def _notes(reports: Sequence[Report], texts: int) -> Iterable[str]:
    """Say what the figures can't be compared for."""
    yield (
        f"texts/s are texts per second of processor time, measured for this comparison: {texts} short texts, the "
        f"students in turn, the best pass of each, on {machine()}."
    )
    made_of = [report.quality.key.inputs for report in reports]
    if len({json.dumps(inputs["teacher"], sort_keys=True) for inputs in made_of}) > 1:
        yield (
            "The recipes have different teachers, and each student was compared with its own: agreement says how much "
            "was lost, not which student is better. Labelled sets tell that."
        )
    for field, what in (("evaluation_texts", "texts"), ("labelled_sets", "labelled sets")):
        if len({json.dumps(inputs["recipe"][field], sort_keys=True) for inputs in made_of}) > 1:
            yield f"The reports were made on different {what}: their figures on these are not of one scale."


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write the table as JSON and CSV and the figure as PNG into a folder that exists."""
    from distill_pipeline.figures.comparison import quality_against_size_and_speed

    write_json(folder / TABLE, asdict(comparison))
    with (folder / SHEET).open("w", encoding="utf-8", newline="") as file:
        file.write(_sheet(comparison))
    (folder / FIGURE).write_bytes(quality_against_size_and_speed(comparison.rows))


def _sheet(comparison: Comparison) -> str:
    lines = StringIO()
    writer = csv.DictWriter(lines, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**asdict(row), "front": " ".join(row.front)} for row in comparison.rows)
    return lines.getvalue()


def read_comparison(folder: Path) -> Comparison:
    """Read back what `write_comparison` wrote."""
    stored = json.loads((folder / TABLE).read_text(encoding="utf-8"))
    rows = tuple(Row(**{**row, "front": tuple(row["front"])}) for row in stored["rows"])
    return Comparison(rows, tuple(stored["notes"]))


HEADER = ("#", "recipe", "dims", "rows", "MB", "texts/s", "correlation", "overlap", "nearest", "labelled", "best for")


def table_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the table's lines under `HEADER`, as text."""
    return [
        (
            str(number),
            row.name,
            str(row.dims),
            f"{row.rows:,}",
            f"{row.bytes / 1e6:.1f}",
            f"{row.texts_per_second:,}",
            f"{row.similarity_correlation:.3f}",
            f"{row.neighbour_overlap:.3f}",
            f"{row.nearest_retrieved:.3f}",
            "" if row.labelled_mean is None else f"{row.labelled_mean:.3f}",
            ", ".join(row.front),
        )
        for number, row in enumerate(comparison.rows, 1)
    ]


def pareto_front(gains: Sequence[float], others: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Tell which points are on the front of two figures that are better the greater they are.

    Args:
        gains: One figure of each point.
        others: The other figure; give a cost, such as a size, negated.

    Returns:
        bool (points,): no other point is at least as good in both and better in one. Equal points are on it together.
    """
    points = np.column_stack([gains, others]).astype(float)
    as_good = np.all(points[None, :, :] >= points[:, None, :], axis=2)
    better = np.any(points[None, :, :] > points[:, None, :], axis=2)
    front: npt.NDArray[np.bool_] = np.logical_not(np.any(as_good & better, axis=1))
    return front

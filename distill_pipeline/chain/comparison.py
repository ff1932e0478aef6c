"""Recipes side by side: what their quality reports say, and which of them no other beats.

The asset `recipe_comparison` and `distill-pipeline compare` both come from here. Knows nothing of Dagster.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from distill_pipeline.chain.plan import pending, plan_stages
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.errors import DistillError
from distill_pipeline.quality.agreement import evaluation_texts
from distill_pipeline.quality.measures import MEASURES
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
    """A recipe's quality report and the student that it is about."""

    recipe: Recipe
    quality: Output
    student: Output


@dataclass(frozen=True)
class Row:
    """One recipe in the comparison.

    Attributes:
        bytes: Size of the student's weights.
        labelled_mean: Mean score on the recipe's labelled sets; None when it has none.
        front: Whether it is on the Pareto front of similarity_correlation and `size`, `speed`, both or neither.
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
    """The rows, best agreement first, and caveats about comparing them."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...]


_COMPARISON = TypeAdapter(Comparison)

_COLUMNS: Mapping[str, Callable[[Row], str]] = {
    "recipe": lambda row: row.name,
    "dims": lambda row: str(row.dims),
    "rows": lambda row: f"{row.rows:,}",
    "MB": lambda row: f"{row.bytes / 1e6:.1f}",
    "texts/s": lambda row: f"{row.texts_per_second:,}",
    "correlation": lambda row: f"{row.similarity_correlation:.3f}",
    "overlap": lambda row: f"{row.neighbour_overlap:.3f}",
    "nearest": lambda row: f"{row.nearest_retrieved:.3f}",
    "labelled": lambda row: "" if row.labelled_mean is None else f"{row.labelled_mean:.3f}",
    "best for": lambda row: ", ".join(row.front),
}
HEADER = ("#", *_COLUMNS)


def table_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the table's cells by row, in the columns of `HEADER`."""
    return [(str(number), *(cell(row) for cell in _COLUMNS.values())) for number, row in enumerate(comparison.rows, 1)]


def find_reports(store: Store, recipes: Iterable[Recipe]) -> tuple[list[Report], dict[str, str]]:
    """Return the reports of the recipes' present settings, and by recipe why others have none.

    The teacher is taken as it was for the recipe's last report, so the Hub is not asked.
    """
    reports, absent = [], {}
    for recipe in recipes:
        try:
            reports.append(_find_report(store, recipe))
        except DistillError as error:
            absent[recipe.name] = f"{error}. Make it: distill-pipeline run {recipe.name}"
    return reports, absent


def _find_report(store: Store, recipe: Recipe) -> Report:
    """Return a recipe's report. Raises `DistillError` when there is none, or a corpus or labelled set is gone."""
    made_of = store.recorded_inputs(recipe.name, "quality_report")
    if made_of is None:
        raise DistillError("no quality report was made yet")
    keys = stage_keys(recipe, made_of["teacher"])
    stages = pending(plan_stages(store, recipe.name, keys))
    if {"static_model", "quality_report"} & {stage.stage for stage in stages}:
        raise DistillError(f"its last report is of other settings, or is gone ({stages[0].stage}: {stages[0].why})")
    return Report(recipe, store.get(keys["quality_report"]), store.get(keys["static_model"]))


def comparison_key(reports: Sequence[Report]) -> StageKey:
    """Return the key of the comparison of these reports."""
    made_of = {report.recipe.name: report.quality.key.fingerprint for report in reports}
    return StageKey.of({"stage": STAGE, "code_version": VERSION, "reports": made_of})


def compare(reports: Sequence[Report]) -> Comparison:
    """Read the reports, measure the students' speed side by side, and mark the Pareto fronts."""
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
    return Comparison(tuple(marked), tuple(_caveats(reports, len(texts))))


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
        **{measure: quality[measure] for measure in MEASURES},
        labelled_mean=round(sum(scores) / len(scores), 6) if scores else None,
    )


def _caveats(reports: Sequence[Report], texts: int) -> Iterator[str]:
    """Yield caveats about comparing these figures."""
    yield (
        f"texts/s are texts per second of processor time, measured for this comparison: {texts} short texts, the "
        f"students in turn, the best pass of each, on {machine()}."
    )
    made_of = [report.quality.key.inputs for report in reports]
    if _differ(inputs["teacher"] for inputs in made_of):
        yield (
            "The recipes have different teachers, and each student was compared with its own: agreement says how much "
            "was lost, not which student is better. Labelled sets tell that."
        )
    for field, what in (("evaluation_texts", "texts"), ("labelled_sets", "labelled sets")):
        if _differ(inputs["recipe"][field] for inputs in made_of):
            yield f"The reports were made on different {what}: their figures on these are not of one scale."


def _differ(values: Iterable[object]) -> bool:
    return len({json.dumps(value, sort_keys=True) for value in values}) > 1


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write the table as JSON and CSV and the figure as PNG into an existing folder."""
    from distill_pipeline.figures.comparison import quality_against_size_and_speed

    write_json(folder / TABLE, asdict(comparison))
    with (folder / SHEET).open("w", encoding="utf-8", newline="") as file:
        sheet = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        sheet.writeheader()
        sheet.writerows({**asdict(row), "front": " ".join(row.front)} for row in comparison.rows)
    (folder / FIGURE).write_bytes(quality_against_size_and_speed(comparison.rows))


def read_comparison(folder: Path) -> Comparison:
    """Return the comparison that `write_comparison` wrote."""
    return _COMPARISON.validate_json((folder / TABLE).read_bytes())


def pareto_front(gains: Sequence[float], others: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Return which points are on the Pareto front of two figures that are better the greater they are.

    Args:
        gains: One figure of each point.
        others: The other figure; give a cost, such as a size, negated.

    Returns:
        bool (points,): no other point is at least as good in both and better in one. Equal points are on it together.
    """
    points = np.column_stack([gains, others]).astype(float)
    as_good = np.all(points[None, :, :] >= points[:, None, :], axis=2)
    better = np.any(points[None, :, :] > points[:, None, :], axis=2)
    front: npt.NDArray[np.bool_] = ~np.any(as_good & better, axis=1)
    return front

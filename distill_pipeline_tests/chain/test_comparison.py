"""Recipes side by side: nothing is dropped silently, and what is not comparable is said."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from distill_pipeline.chain.comparison import compare, find_reports, read_comparison, write_comparison
from distill_pipeline.definitions import defs
from distill_pipeline.defs.building import build_defs
from distill_pipeline.figures.comparison import strip_common_prefix
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline_tests.running import BEFORE_RELEASE, Chain

Make = Callable[..., Recipe]


@pytest.fixture(name="recipe")
def without_baseline(recipe: Make) -> Make:
    """Makes small recipes whose report has no model2vec side, which no comparison reads."""
    return functools.partial(recipe, compare_with_model2vec=False)


def comparison_run(chain: Chain, recipes: list[str] | None = None) -> dict[str, object]:
    """Materialise recipe_comparison; returns its metadata."""
    result = (
        build_defs(chain.home)
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            run_config={
                "ops": {"recipe_comparison": {"config": {"recipes": recipes or []}}},
                "loggers": {"console": {"config": {"log_level": "ERROR"}}},
            },
            instance=chain.instance,
            asset_selection=[dg.AssetKey("recipe_comparison")],
        )
    )
    return chain.metadata(result)["recipe_comparison"]


def test_reports_are_compared_and_the_others_listed_with_why(finished: Chain, recipe: Make, bert: Path) -> None:
    kept, edited = recipe(pca_dims=4), recipe(name="other")
    never = recipe(name="third")
    foreign = recipe(name="fourth", teacher=str(bert), evaluation_texts=__file__)
    for each in (kept, edited, foreign):
        finished.run(each, BEFORE_RELEASE)
    edited = recipe(name="other", pca_dims=6)
    reports, absent = find_reports(finished.home.store, [kept, edited, never, foreign])
    assert [report.recipe.name for report in reports] == ["tiny", "fourth"]
    assert "pca_dims: 8 -> 6" in absent["other"]
    assert "no quality report was made yet. Make it: distill-pipeline run third" in absent["third"]

    found = compare(reports)
    rows = {row.name: row for row in found.rows}
    assert rows["tiny"].dims == 4
    assert rows["tiny"].bytes == (reports[0].student.folder / "model.safetensors").stat().st_size
    assert rows["tiny"].labelled_mean is None
    assert {front for row in found.rows for front in row.front} == {"size", "speed"}
    assert [row.similarity_correlation for row in found.rows] == sorted(
        (row.similarity_correlation for row in found.rows), reverse=True
    )
    said = " ".join(found.notes)
    assert "different teachers" in said
    assert "different texts" in said
    assert "different labelled sets" not in said


def test_an_edit_that_was_undone_finds_its_report_again(finished: Chain, recipe: Make) -> None:
    finished.run(recipe(), BEFORE_RELEASE)
    finished.run(recipe(pca_dims=4), BEFORE_RELEASE)
    assert [report.student.facts["dimensions"] for report in find_reports(finished.home.store, [recipe()])[0]] == [8]


def test_a_damaged_student_is_listed_and_not_measured(finished: Chain, recipe: Make) -> None:
    finished.run(recipe(), BEFORE_RELEASE)
    model = finished.output(recipe(), "static_model").folder / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    reports, absent = find_reports(finished.home.store, [recipe()])
    assert reports == []
    assert "model.safetensors" in absent["tiny"]


def test_the_asset_shows_table_and_figure_and_compares_the_same_reports_once(chain: Chain, recipe: Make) -> None:
    assert "no quality report" in str(comparison_run(chain)["not_compared"])
    chain.run(recipe(), BEFORE_RELEASE)
    first = comparison_run(chain)
    assert (first["recipes"], first["cache"]) == (1, "computed")
    assert "| 1 | tiny | 8 |" in str(first["table"])
    assert "data:image/png;base64," in str(first["figure"])
    assert len(str(first["figure"])) < 700_000
    again = comparison_run(chain)
    assert (again["cache"], again["table"]) == ("hit", first["table"])
    assert "not_compared" not in comparison_run(chain, ["tiny"])


def test_files_of_a_comparison_read_back_equal(finished: Chain, recipe: Make, tmp_path: Path) -> None:
    finished.run(recipe(), BEFORE_RELEASE)
    finished.run(recipe(name="other", pca_dims=4), BEFORE_RELEASE)
    found = compare(find_reports(finished.home.store, [recipe(), recipe(name="other", pca_dims=4)])[0])
    write_comparison(tmp_path, found)
    assert read_comparison(tmp_path) == found
    assert json.loads((tmp_path / "comparison.json").read_text())["rows"][0]["name"] == found.rows[0].name
    with (tmp_path / "comparison.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == [row.name for row in found.rows]
    assert [line["front"] for line in lines] == [" ".join(row.front) for row in found.rows]
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["s.dims-4.a", "s.dims-8.a"], ["dims-4.a", "dims-8.a"]),
        (["s.dims-4.a", "s.dims-4.b"], ["a", "b"]),
        (["minilm", "minilm-256"], ["minilm", "minilm-256"]),
        (["s", "s.a"], ["s", "a"]),
        (["s.a"], ["s.a"]),
    ],
)
def test_names_in_the_figure_leave_out_what_all_share(names: list[str], short: list[str]) -> None:
    assert strip_common_prefix(names) == short


def test_a_new_report_asks_for_one_new_comparison_though_other_recipes_have_none(chain: Chain) -> None:
    def tick(cursor: object = None) -> dg.EvaluateAutomationConditionsResult:
        return dg.evaluate_automation_conditions(
            defs=defs,
            instance=chain.instance,
            asset_selection=dg.AssetSelection.assets("recipe_comparison"),
            cursor=cursor,  # type: ignore[arg-type]
        )

    key = dg.AssetKey("recipe_comparison")
    before = tick()
    assert before.total_requested == 0
    chain.instance.report_runless_asset_event(dg.AssetMaterialization("quality_report", partition="tiny"))
    after = tick(before.cursor)
    assert after.get_requested_partitions(key) == {None}
    assert tick(after.cursor).total_requested == 0

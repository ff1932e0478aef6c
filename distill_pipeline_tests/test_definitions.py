"""The code location as Dagster sees it: complete, valid, and its schedule asks for each recipe once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from distill_pipeline.definitions import defs
from distill_pipeline.partitions import RECIPES
from distill_pipeline.schedules import nightly_distillation
from distill_pipeline.stages import STAGES


def _evaluate(context: dg.ScheduleEvaluationContext) -> Sequence[dg.RunRequest]:
    return nightly_distillation.evaluate_tick(context).run_requests or []


def test_dagster_validates_the_definitions() -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_assets_are_the_stages_with_their_versions_and_inputs() -> None:
    specs = {spec.key.path[-1]: spec for spec in defs.resolve_all_asset_specs()}
    assert set(specs) == set(STAGES)
    for name, stage in STAGES.items():
        assert specs[name].code_version == stage.version
        assert {dep.asset_key.path[-1] for dep in specs[name].deps} == set(stage.upstream)
        assert specs[name].owners
        assert specs[name].kinds
        assert specs[name].description
        assert specs[name].partitions_def == RECIPES


def test_a_tick_of_the_schedule_requests_each_recipe_once() -> None:
    context = dg.build_schedule_context(
        repository_def=defs.get_repository_def(), scheduled_execution_time=datetime(2026, 1, 2, 3, tzinfo=UTC)
    )
    requests = _evaluate(context)
    assert [request.partition_key for request in requests] == list(RECIPES.get_partition_keys())
    assert len({request.run_key for request in requests}) == len(requests)

"""The code location as Dagster sees it: complete and valid."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from distill_pipeline.chain.stages import STAGES
from distill_pipeline.definitions import defs
from distill_pipeline.defs.partitions import RECIPES


def test_dagster_validates_the_definitions() -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_assets_are_the_stages_with_their_versions_and_inputs() -> None:
    specs = {spec.key.path[-1]: spec for spec in defs.resolve_all_asset_specs()}
    assert set(specs) == {*STAGES, "recipe_comparison", "plan"}
    for name, stage in STAGES.items():
        assert specs[name].code_version == stage.version
        assert {dep.asset_key.path[-1] for dep in specs[name].deps} == set(stage.upstream)
        assert specs[name].owners
        assert specs[name].kinds
        assert specs[name].description
        assert specs[name].partitions_def == RECIPES
        assert set(specs[name].kinds) == set(stage.kinds)
        [reference] = specs[name].metadata["dagster/code_references"].code_references
        assert Path(reference.file_path).stem == name


def test_what_runs_for_a_recipe_is_the_chain_alone() -> None:
    stages = {dg.AssetKey(stage) for stage in STAGES}
    for job, wanted in (("distill", stages), ("measure", stages - {dg.AssetKey("hub_release")})):
        assert defs.resolve_job_def(job).asset_layer.executable_asset_keys == wanted


def test_one_run_of_everything_has_room_for_the_comparison_and_leaves_the_plan_out() -> None:
    everything = defs.resolve_implicit_global_asset_job_def().asset_layer
    assert {key.path[-1] for key in everything.selected_asset_keys} == {*STAGES, "recipe_comparison", "plan"}
    assert not everything.get(dg.AssetKey("plan")).is_materializable

"""The code location as Dagster sees it: complete and valid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.chain.stages import PICTURED, STAGES
from distill_pipeline.definitions import defs
from distill_pipeline.defs.resources import load_partitions
from distill_pipeline.defs.sources import upstream_of
from distill_pipeline.recipe.reading import make_recipe

SOURCES = ("teacher", "corpus", "labelled_sets")


def test_dagster_validates_the_definitions() -> None:
    dg.Definitions.validate_loadable(defs)


def test_the_assets_are_the_stages_with_their_versions_and_inputs() -> None:
    specs = {spec.key.path[-1]: spec for spec in defs.resolve_all_asset_specs()}
    assert set(specs) == {*STAGES, *SOURCES, "recipe_comparison", "plan"}
    for name, stage in STAGES.items():
        assert specs[name].code_version == stage.version
        assert {dep.asset_key.path[-1] for dep in specs[name].deps} == {*stage.upstream, *upstream_of(name)}
        assert specs[name].owners
        assert specs[name].kinds
        assert specs[name].description
        assert specs[name].partitions_def == specs["teacher"].partitions_def == load_partitions(Home(default_home()))
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


def test_a_launch_says_what_to_run_and_nothing_about_where() -> None:
    def leaves(kind: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
        for name, field in (getattr(kind, "fields", None) or {}).items():
            found = list(leaves(field.config_type, (*path, name)))
            yield from found or [".".join((*path, name))]

    job = defs.resolve_implicit_global_asset_job_def()
    said = {leaf for leaf in leaves(job.run_config_schema.config_type) if not leaf.startswith("execution.config.")}
    checks = {leaf for leaf in said if leaf.startswith("ops.") and leaf.endswith(".config")}  # they read none
    forces = {f"ops.{stage}.config.force" for stage in (*STAGES, "recipe_comparison")}
    pictures = {f"ops.{stage}.config.pictures" for stage in PICTURED}
    release = {"ops.hub_release.config.dry_run", "ops.hub_release.config.override_reason"}
    nothing = {"resources.io_manager.config", "loggers.terminal.config"}
    log = {"loggers.console.config.log_level", "loggers.console.config.name"}
    assert said - checks - nothing == {*forces, *pictures, *release, *log, "ops.recipe_comparison.config.recipes"}
    with pytest.raises(dg.DagsterInvalidConfigError, match="Received unexpected config entry"):
        dg.validate_run_config(job, {"resources": {"io_manager": {"config": {"base_dir": "/elsewhere"}}}})


def test_a_source_stands_before_each_stage_that_reads_it() -> None:
    fields = {"teacher": "MINILM_EMBEDDED", "refinement": "corpus", "corpus": ["texts.txt"]}
    recipe = make_recipe(fields, source="test")
    for stage in STAGES.values():
        assert set(upstream_of(stage.name)) == set(SOURCES) & set(stage.reads(recipe))

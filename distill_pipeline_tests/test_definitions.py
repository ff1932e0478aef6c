"""The code location as Dagster sees it: complete and valid."""

from __future__ import annotations

import dagster as dg

from distill_pipeline.definitions import defs
from distill_pipeline.partitions import RECIPES
from distill_pipeline.stages import STAGES


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

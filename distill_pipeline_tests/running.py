"""Running the real assets on a real Dagster instance, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import dagster as dg

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import PICTURED, RELEASE, STAGES, stage_keys
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.defs.building import build_defs
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.output import Output


class Chain:
    """The chain's assets in one home, with a Dagster instance that lives as long as this object.

    It keeps its history in memory; those that the command line starts, and the team's, have theirs in databases.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.instance = dg.DagsterInstance.ephemeral()

    def __enter__(self) -> Chain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.instance.dispose()

    def run(
        self,
        recipe: Recipe,
        stages: Sequence[str] | None = None,
        *,
        force: Sequence[str] = (),
        pictures: bool = False,
        raise_on_error: bool = True,
    ) -> dg.ExecuteInProcessResult:
        """Save the recipe and materialise the given stages (all by default) for it.

        Args:
            recipe: Whose stages.
            stages: Which.
            force: Stages to compute whatever is stored.
            pictures: Whether each stage shows its pictures, as in the UI; a release draws them anyhow.
            raise_on_error: Whether a step's error is raised here.
        """
        self.home.save_recipe(recipe)
        stages = list(STAGES if stages is None else stages)
        defs = build_defs(self.home)
        assert set(force) <= set(stages)
        configs = {stage: {"force": stage in force} for stage in stages}
        for stage in configs.keys() & set(PICTURED):
            configs[stage]["pictures"] = pictures
        return defs.resolve_implicit_global_asset_job_def().execute_in_process(
            run_config={
                "ops": {stage: {"config": config} for stage, config in configs.items()},
                "loggers": {"console": {"config": {"log_level": "ERROR"}}},
            },
            instance=self.instance,
            partition_key=recipe.name,
            asset_selection=[dg.AssetKey(stage) for stage in stages],
            raise_on_error=raise_on_error,
        )

    def metadata(self, result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
        """Return the metadata values of each stage that was materialised."""
        return {
            event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
            for event in result.get_asset_materialization_events()
            if event.asset_key is not None
        }

    def cache(self, result: dg.ExecuteInProcessResult) -> dict[str, str]:
        """Return `hit` or `computed` of each stage that was materialised."""
        return {stage: values["cache"] for stage, values in self.metadata(result).items()}

    def outputs(self, recipe: Recipe) -> Mapping[str, Output]:
        """Return the verified stored output of each stage of a recipe."""
        return {stage: self.output(recipe, stage) for stage in STAGES}

    def output(self, recipe: Recipe, stage: str) -> Output:
        """Return the verified stored output of one stage of a recipe."""
        return self.home.store.get(stage_keys(recipe, find_teacher(self.home, recipe).identity)[stage])


TO_MATRIX = list(STAGES)[:4]
"""The stages up to the reduced matrix, for tests that look no further."""

BEFORE_RELEASE = [stage for stage in STAGES if stage != RELEASE]
"""The stages up to the report; a release draws six pictures besides."""

HITS = dict.fromkeys(STAGES, "hit")

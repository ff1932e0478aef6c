"""Asset: all recipes that have a quality report, side by side."""

import base64
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from distill_pipeline.chain.comparison import (
    FIGURE,
    HEADER,
    STAGE,
    VERSION,
    compare,
    comparison_key,
    find_reports,
    read_comparison,
    table_rows,
    write_comparison,
)
from distill_pipeline.defs.jobs import ALL_RECIPES
from distill_pipeline.defs.launch import launch_config
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.stage import StageConfig, define_asset
from distill_pipeline.release.card import markdown_table

AFTER_NEW_REPORTS = (
    dg.AutomationCondition.any_deps_updated().since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
).with_label("a quality report was made, and none is being made")
"""Not `eager()`, which waits until every recipe has a report: some are never run."""


class ComparisonConfig(StageConfig):
    """What to compare."""

    recipes: list[str] = Field(
        default_factory=list,
        description="Names of recipes or of sweeps, which stand for their recipes. Empty: all recipes.",
    )


def recipe_comparison(
    context: dg.AssetExecutionContext, config: ComparisonConfig, distill_home: DistillHome
) -> dg.MaterializeResult[Any]:
    """Compare the recipes' reports, or return the stored comparison of the same reports."""
    launch_config(context.run, distill_home, STAGE)
    home = distill_home.home
    recipes = home.recipes_named(config.recipes) if config.recipes else home.load_recipes()[0].values()
    reports, absent = find_reports(home.store, recipes)
    metadata: dict[str, Any] = {"recipes": len(reports)}
    if absent:
        metadata["not_compared"] = dg.MetadataValue.md(markdown_table(["recipe", "why"], list(absent.items())))
    if not reports:
        return dg.MaterializeResult(metadata=metadata)

    def make(folder: Path) -> dict[str, Any]:
        write_comparison(folder, compare(reports))
        return {}

    key = comparison_key(reports)
    output, hit = home.store.get_or_make(key, make, force=config.force, run_id=context.run.run_id, log=context.log.info)
    found = read_comparison(output.folder)
    figure = base64.b64encode((output.folder / FIGURE).read_bytes()).decode()
    return dg.MaterializeResult(
        data_version=dg.DataVersion(key.fingerprint),
        metadata={
            **metadata,
            "dagster/uri": home.store.uri(key),
            "table": dg.MetadataValue.md("\n\n".join([markdown_table(list(HEADER), table_rows(found)), *found.notes])),
            "figure": dg.MetadataValue.md(
                f"![agreement with the teacher against size and speed](data:image/png;base64,{figure})"
            ),
            "cache": "hit" if hit else "computed",
            "folder": dg.MetadataValue.path(str(output.folder)),
        },
    )


def comparison_asset(home: DistillHome) -> dg.AssetsDefinition:
    """Return the asset over one home."""
    return define_asset(
        home,
        recipe_comparison,
        deps=[dg.AssetDep(home.key("quality_report"), partition_mapping=dg.AllPartitionMapping())],
        tags=ALL_RECIPES,
        kinds={"python", "csv"},
        code_version=VERSION,
        automation_condition=AFTER_NEW_REPORTS,
        description="All recipes with a quality report, side by side: agreement with the teacher against size and "
        "speed, and which recipes no other one beats.",
    )

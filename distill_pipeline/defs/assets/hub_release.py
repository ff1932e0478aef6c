"""Asset: the student in the local registry and, when the recipe names a repository, on the Hugging Face Hub."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from distill_pipeline.chain.pictures import write_pictures
from distill_pipeline.defs.launch import override_reason
from distill_pipeline.defs.pictures import pictures_metadata
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.defs.stage import StageConfig, StageRun, materialize_stage, stage_asset
from distill_pipeline.figures.captions import SINCE_RELEASE
from distill_pipeline.figures.pictures import draw_kinds
from distill_pipeline.quality.measures import comparable_figures
from distill_pipeline.release.destination import look_ahead
from distill_pipeline.release.gate import read_report
from distill_pipeline.release.ingredients import gather
from distill_pipeline.release.release import is_intact, preview, release
from distill_pipeline.release.standing import RECEIPT, read_receipt
from distill_pipeline.store.disk import write_json
from distill_pipeline.store.output import Output
from distill_pipeline.student.files import REPORT

FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=90), warn_window=timedelta(days=30))
"""A run of a finished recipe takes seconds: it only verifies the store, the release and the teacher's commit."""


class ReleaseConfig(StageConfig):
    """How to release."""

    dry_run: bool = Field(
        default=False, description="Only log the release's files and how they differ from the current release."
    )
    override_reason: str = Field(
        default="",
        description="Why to release a student below its floors or worse than the current release; the card shows it.",
    )


@stage_asset(freshness_policy=FRESHNESS, output_required=False)
def hub_release(
    context: dg.AssetExecutionContext, config: ReleaseConfig, distill_home: DistillHome
) -> Iterator[dg.MaterializeResult[Any]]:
    """The released student with its card, evidence and variants.

    A local folder and, if the recipe names a repository, a commit on the Hugging Face Hub. A student below the recipe's
    floors or worse than the current release is refused.
    """
    target = distill_home.releases / context.partition_key
    reason = override_reason(context.run, distill_home)
    if config.dry_run:
        recipe = distill_home.recipe(context.partition_key)
        ingredients = gather(distill_home.store, recipe, distill_home.teacher(recipe))
        context.log.info(preview(ingredients, target, override_reason=reason))
        return
    yield materialize_stage(
        context,
        config,
        distill_home,
        lambda run: _compute(run, reason),
        describe=lambda output: _describe(output, str(target)),
        still_valid=lambda output: is_intact(target, read_receipt(output)["files"]),
    )


def _compute(run: StageRun, reason: str) -> Mapping[str, Any]:
    recipe, target = run.recipe, run.home.releases / run.recipe.name
    ingredients = gather(run.home.store, recipe, run.teacher_source)
    for note in look_ahead(recipe, run.teacher_source, target)[1]:
        run.log(note)
    # Drawn for the metadata alone, before the release is replaced: a release's bytes must not depend on history.
    _draw_since_release(run.folder, ingredients.quality.folder / REPORT, target / REPORT)
    files, commit = release(ingredients, target, override_reason=reason, log=run.log)
    receipt: dict[str, Any] = {"files": files}
    if commit is not None:
        hub = {"commit": commit.commit, "url": commit.url, "tag": commit.tag}
        receipt["hub"] = {"repository": recipe.repository, **hub}
    write_json(run.folder / RECEIPT, receipt)
    return {"files": len(files), "teacher": run.teacher_source.identity}


def _draw_since_release(folder: Path, report: Path, released: Path) -> None:
    quality, before = (read_report(path.read_bytes()) if path.exists() else None for path in (report, released))
    found = comparable_figures(before, quality) if quality else {}
    if quality and found:
        write_pictures(folder, {SINCE_RELEASE: draw_kinds(quality, found)})


def _describe(output: Output, target: str) -> Mapping[str, Any]:
    hub = read_receipt(output).get("hub")
    metadata: dict[str, Any] = {"release": dg.MetadataValue.path(target), "files": output.facts["files"]}
    metadata |= pictures_metadata(output.folder)
    if hub:
        metadata |= {"commit": hub["commit"], "url": dg.MetadataValue.url(hub["url"]), "tag": hub["tag"] or "none"}
    return metadata

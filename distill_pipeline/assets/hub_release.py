"""Asset: the student in the local registry and, when the recipe names a repository, on the Hugging Face Hub."""

import json
from collections.abc import Mapping
from typing import Any

import dagster as dg

from distill_pipeline.assets.stage import (
    OWNERS,
    StageConfig,
    StageRun,
    code_version,
    materialize_stage,
    upstream_of,
)
from distill_pipeline.partitions import RECIPES
from distill_pipeline.release.card import model_card
from distill_pipeline.release.gate import REPORT, check_evidence
from distill_pipeline.release.hub import publish
from distill_pipeline.release.local import is_intact, place
from distill_pipeline.resources import DistillHome
from distill_pipeline.store import Output, write_json

RECEIPT = "receipt.json"


@dg.asset(
    partitions_def=RECIPES,
    deps=upstream_of("hub_release"),
    group_name="distillation",
    kinds={"huggingface"},
    owners=OWNERS,
    code_version=code_version("hub_release"),
    description="The released student: whole, checked against its evidence, local and on the Hub.",
)
def hub_release(
    context: dg.AssetExecutionContext, config: StageConfig, distill_home: DistillHome
) -> dg.MaterializeResult[Any]:
    """Check the evidence, then release."""
    target = distill_home.home.releases / context.partition_key
    return materialize_stage(
        context,
        config,
        distill_home,
        _work,
        describe=lambda output: _describe(output, str(target)),
        still_valid=lambda output: is_intact(target, _receipt(output)["files"]),
    )


def _work(run: StageRun) -> Mapping[str, Any]:
    recipe = run.recipe
    model, report = run.upstream("static_model"), run.upstream("quality_report").folder / REPORT
    quality = check_evidence(recipe, model.folder, report)
    card = model_card(recipe, quality, model.facts, run.teacher_source.identity)
    target = run.home.home.releases / recipe.name
    receipt: dict[str, Any] = {"files": place(model.folder, report, card, target)}
    if recipe.repository:
        commit = publish(target, recipe.repository, private=recipe.private, message=recipe.commit_message)
        run.log(f"{'released' if commit.created else 'already released'}: {commit.url}")
        receipt["hub"] = {"repository": recipe.repository, "commit": commit.commit, "url": commit.url}
    write_json(run.folder / RECEIPT, receipt)
    return {"files": len(receipt["files"])}


def _receipt(output: Output) -> dict[str, Any]:
    receipt: dict[str, Any] = json.loads((output.folder / RECEIPT).read_text(encoding="utf-8"))
    return receipt


def _describe(output: Output, target: str) -> Mapping[str, Any]:
    hub = _receipt(output).get("hub")
    metadata: dict[str, Any] = {"release": dg.MetadataValue.path(target), "files": output.facts["files"]}
    if hub:
        metadata |= {"commit": hub["commit"], "url": dg.MetadataValue.url(hub["url"])}
    return metadata

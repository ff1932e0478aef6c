"""The summary of a run of the whole chain, for a terminal."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from rich.console import Group
from rich.filesize import decimal

from distill_pipeline.chain.stages import STAGES
from distill_pipeline.cli.tables import table
from distill_pipeline.errors import DistillError


def stage_metadata(result: dg.ExecuteInProcessResult) -> dict[str, Mapping[str, Any]]:
    """Return the metadata values of each stage that a run materialised, from the store or computed."""
    return {
        event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def summarise(result: dg.ExecuteInProcessResult) -> Group:
    """Return a table of the stages and one of what the student is, from the run's metadata."""
    found = stage_metadata(result)
    stages = table("stage", "cache", "seconds", "size", right={"seconds", "size"}, header=True)
    for stage in STAGES:
        if stage in found:
            made = found[stage]
            stages.add_row(stage, made["cache"], f"{made['seconds']:.2f}", decimal(made["bytes"]))
    model, quality = found["static_model"], found["quality_report"]
    student = table("about", "what")
    student.add_row(
        "student",
        f"{model['rows']:,} rows x {model['dimensions']} {model['dtype']}, "
        f"{decimal(quality['student_bytes'])} (teacher {decimal(quality['teacher_bytes'])})",
    )
    student.add_row(
        "quality",
        f"similarities correlate {quality['similarity_correlation']:.3f} with the teacher's; "
        f"{quality['neighbour_overlap']:.0%} of its 10 nearest texts shared",
    )
    student.add_row(
        "speed",
        f"{quality['student_texts_per_second']:,} texts/s on {quality['student_ran_on']}; of the same the teacher "
        f"{quality['teacher_texts_per_second']:,} on {quality['teacher_ran_on']}",
    )
    return Group(stages, "", student)


def interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether someone stopped the run: Dagster catches Ctrl-C and turns it into a failed step."""
    errors = [event.step_failure_data.error for event in result.filter_events(lambda event: event.is_step_failure)]
    return any(error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for error in errors)


def explain_failure(result: dg.ExecuteInProcessResult) -> str:
    """Return each failed step's error, with its stack unless it says enough without, and each failed check."""
    names = {error.__name__ for error in (*_with_subclasses(DistillError), PermissionError)}
    lines = []
    for event in result.filter_events(lambda event: event.is_step_failure):
        error = event.step_failure_data.error
        cause = error.cause if error and error.cause else error
        # A failed check is one as well, and is told of below.
        if cause is not None and cause.cls_name != "DagsterAssetCheckFailedError":
            # Dagster puts the class with its module before the message.
            text = cause.message.strip().partition(": ")[2] if cause.cls_name in names else cause.to_string()
            lines.append(f"{event.step_key}: {text}")
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed:
            found = {name: value.value for name, value in evaluation.metadata.items()}
            said = found.get("failed") or ", ".join(f"{name}={value}" for name, value in found.items())
            lines.append(f"{evaluation.asset_key.to_user_string()}: check {evaluation.check_name} failed: {said}")
    return "\n".join(lines)


def _with_subclasses(base: type[Exception]) -> set[type[Exception]]:
    found = {base}
    for child in base.__subclasses__():
        found |= _with_subclasses(child)
    return found

"""The scores on MTEB's tasks, in the form that the Hub shows on a model's page and on a benchmark's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from distill_pipeline.student.files import EVAL_RESULTS


def mteb_entries(quality: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a quality report's entries of MTEB's tasks."""
    return [entry for entry in quality.get("labelled_sets", ()) if entry["kind"] == "mteb"]


def write_eval_results(folder: Path, quality: Mapping[str, Any]) -> None:
    """Write `.eval_results/TASK.yaml` into a release for each of MTEB's tasks: its parts' ids and scores as MTEB's are.

    The format is that of the Hub's `eval_results.yaml`.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    for entry in mteb_entries(quality):
        results = [
            EvalResultEntry(
                dataset_id=entry["dataset"],
                dataset_revision=entry["revision"],
                task_id=part,
                value=round(score * 100, 4),
                notes="Measured with MTEB by distill-pipeline",
            )
            for part, score in entry["parts"].items()
        ]
        (folder / EVAL_RESULTS).mkdir(exist_ok=True)
        content = yaml.safe_dump(eval_result_entries_to_yaml(results), sort_keys=False, allow_unicode=True)
        (folder / EVAL_RESULTS / f"{entry['set']}.yaml").write_text(content, encoding="utf-8")

"""Asset checks: what must hold of a stage's output before the next stage may use it.

All block: a failed one stops the run. The release itself checks its evidence again, whoever asks for it.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import dagster as dg
import numpy as np

from distill_pipeline.chain.stages import RELEASE
from distill_pipeline.defs.partitions import RECIPES
from distill_pipeline.defs.resources import DistillHome
from distill_pipeline.fitting.reduction import MATRIX
from distill_pipeline.quality.measures import FLOORS, MEASURES
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.gate import failed_floors
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.store.output import Output
from distill_pipeline.store.verdicts import Verdict, cached_verdict
from distill_pipeline.student.files import REPORT
from distill_pipeline.student.folder import StudentError, verify_golden
from distill_pipeline.vocabulary.vocabulary import read_vocabulary
from distill_pipeline.vocabulary.words import entry_groups

Examine = Callable[[Recipe, Output], Verdict]
_VERSION = "1"
"""Raised when a check of an output's bytes comes to ask for something else, so that kept verdicts no longer stand."""


def _check(
    stage: str, name: str, description: str, examine: Examine, *, of_bytes: bool = True
) -> dg.AssetChecksDefinition:
    """Make a blocking check that examines one recipe's stored output of a stage.

    One that reads the output alone keeps its verdict; one that also looks at the recipe's limits is made anew.
    """

    def check(context: dg.AssetCheckExecutionContext, distill_home: DistillHome) -> dg.AssetCheckResult:
        recipe = distill_home.recipe(context.partition_key)
        store = distill_home.store
        output = store.get(distill_home.stage_keys(recipe)[stage])
        now = partial(examine, recipe, output)
        passed, metadata = cached_verdict(store, output, f"{name} {_VERSION}", now) if of_bytes else now()
        reason = _override_reason(context) if stage == "quality_report" else ""
        if passed or not reason:
            return dg.AssetCheckResult(passed=passed, metadata=dict(metadata))
        # A warning doesn't block: the release is asked to go out all the same, and its card will say so.
        return dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, metadata={**metadata, "overridden": reason}
        )

    with warnings.catch_warnings():
        # Partitions of checks are a preview in Dagster 1.13. Without them a check's result would not say
        # which recipe it is about.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        decorate = dg.asset_check(
            asset=stage, name=name, description=description, blocking=True, partitions_def=RECIPES
        )
        return decorate(check)


def _override_reason(context: dg.AssetCheckExecutionContext) -> str:
    """Return the reason that this run gives hub_release for passing the gate, or an empty text."""
    config: Any = context.run.run_config
    for name in ("ops", RELEASE, "config"):
        config = config.get(name, {})
    return str(config.get("override_reason", "")).strip()


def _entries_are_unique_and_readable(_: Recipe, output: Output) -> tuple[bool, Mapping[str, Any]]:
    vocabulary = read_vocabulary(output.folder)
    ids = [vocabulary.tokenizer.token_to_id(token) for token in vocabulary.tokens]
    repeated = len(vocabulary.tokens) - len(set(vocabulary.tokens))
    unread = [row for row, sequence in enumerate(vocabulary.teacher_ids) if not sequence]
    if unread:
        # Padding and unknown are no text: their rows are zero whatever the teacher reads for them.
        unread = np.intersect1d(unread, np.flatnonzero(entry_groups(vocabulary.tokenizer) >= 0)).tolist()
    misplaced = sum(found != row for row, found in enumerate(ids))
    return not (repeated or unread or misplaced), {
        "repeated_entries": repeated,
        "entries_without_teacher_ids": len(unread),
        "entries_whose_tokenizer_id_is_not_their_row": misplaced,
    }


def rows_are_finite_and_not_all_alike(_: Recipe, output: Output) -> tuple[bool, Mapping[str, Any]]:
    """Count rows that are not finite or zero, and find the norms; the check passes when there is nothing wrong.

    A sequence without tokens has a row of zeros: padding, for a tokenizer that puts nothing around it.
    """
    embeddings = Embeddings.of_parts(output.folder)
    low, high, bad, zero = np.inf, -np.inf, 0, 0
    for batch in embeddings.batches():
        bad += int((~np.isfinite(batch)).any(axis=1).sum())
        norms = np.linalg.norm(batch, axis=1)
        zero += int((norms == 0).sum())
        low, high = min(low, float(norms[norms != 0].min(initial=np.inf))), max(high, float(norms.max()))
    deviation = float(next(iter(embeddings.batches())).std(axis=0).mean())
    whole = embeddings.rows == output.facts["rows"] and zero == output.facts["empty"]
    return bad == 0 and whole and deviation > 0, {
        "rows_not_finite": bad,
        "rows_of_zeros": zero,
        "min_norm": low,
        "max_norm": high,
        "mean_deviation": deviation,
    }


def _sentences_are_finite(recipe: Recipe, output: Output) -> tuple[bool, Mapping[str, Any]]:
    if recipe.refinement == "none":
        return output.facts["rows"] == 0, {"rows": output.facts["rows"]}
    return rows_are_finite_and_not_all_alike(recipe, output)


def _matrix_is_finite(_: Recipe, output: Output) -> tuple[bool, Mapping[str, Any]]:
    matrix = Embeddings([output.folder / MATRIX])
    bad = sum(int((~np.isfinite(batch)).any(axis=1).sum()) for batch in matrix.batches())
    return bad == 0 and matrix.rows == output.facts["rows"], {"rows": matrix.rows, "rows_not_finite": bad}


def _golden_vectors_come_back(_: Recipe, output: Output) -> tuple[bool, Mapping[str, Any]]:
    try:
        return True, {"max_difference": verify_golden(output.folder)}
    except StudentError as error:
        return False, {"problem": str(error)}


def _floors_are_reached(recipe: Recipe, output: Output) -> tuple[bool, Mapping[str, Any]]:
    quality = json.loads((output.folder / REPORT).read_text(encoding="utf-8"))
    failed = failed_floors(recipe, quality)
    return not failed, {
        **{measure: quality[measure] for measure in MEASURES},
        **{f"floor_of_{measure}": getattr(recipe, f"min_{measure}") for measure in FLOORS},
        "failed": "; ".join(failed) or "none",
    }


CHECKS = [
    _check(
        "vocabulary",
        "entries_are_unique_and_readable",
        "No entry occurs twice, each has token ids for the teacher, and its id in the tokenizer is its row.",
        _entries_are_unique_and_readable,
    ),
    _check(
        "token_embeddings",
        "rows_are_finite_and_not_all_alike",
        "Every row is there and finite, none is zero, and they differ.",
        rows_are_finite_and_not_all_alike,
    ),
    _check(
        "text_embeddings",
        "sentences_are_finite_and_not_all_alike",
        "Every text's embedding is there and finite, none is zero, and they differ; none at all without a refinement.",
        _sentences_are_finite,
    ),
    _check("student_matrix", "matrix_is_finite", "Every row is there and finite.", _matrix_is_finite),
    _check(
        "static_model",
        "golden_vectors_come_back",
        "Loaded in model2vec, the student gives the golden vectors.",
        _golden_vectors_come_back,
    ),
    _check(
        "quality_report",
        "floors_are_reached",
        "The figures reach the recipe's floors.",
        _floors_are_reached,
        of_bytes=False,
    ),
]

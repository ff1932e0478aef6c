"""Asset checks: what must hold for a stage's output before the next stage may use it.

All checks but the last block: a failed one stops the run. A check's docstring is its description in the UI. The
release checks its evidence again by itself.
"""

import inspect
import json
import time
import warnings
from collections.abc import Callable
from functools import partial

import dagster as dg
import numpy as np

from distill_pipeline.chain.stages import RELEASE
from distill_pipeline.defs.launch import override_reason
from distill_pipeline.defs.resources import DistillHome, bound
from distill_pipeline.fitting.reduction import MATRIX
from distill_pipeline.quality.measures import FLOORS, MEASURES
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.gate import failed_floors
from distill_pipeline.release.standing import release_standing
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.store.output import Output
from distill_pipeline.store.verdicts import Verdict, cached_verdict
from distill_pipeline.student.files import REPORT
from distill_pipeline.student.folder import StudentError, verify_golden
from distill_pipeline.vocabulary.vocabulary import read_vocabulary
from distill_pipeline.vocabulary.words import entry_groups

Examine = Callable[[Recipe, Output], Verdict]
_VERSION = "1"
"""Raised when a check that reads only an output's bytes changes, so that verdicts kept in the store are void."""


def _check(home: DistillHome, stage: str, examine: Examine, *, reads_recipe: bool = False) -> dg.AssetChecksDefinition:
    """Return a blocking check of a stage's output, with the function's name and docstring.

    A check that reads only the output keeps its verdict in the store; one that also reads the recipe always runs.
    """

    def check(context: dg.AssetCheckExecutionContext, distill_home: DistillHome) -> dg.AssetCheckResult:
        recipe = distill_home.recipe(context.partition_key)
        store = distill_home.store
        output = store.get(distill_home.stage_keys(recipe)[stage])
        run = partial(examine, recipe, output)
        passed, metadata = run() if reads_recipe else cached_verdict(store, output, f"{name} {_VERSION}", run)
        reason = override_reason(context.run, distill_home) if stage == "quality_report" else ""
        if passed or not reason:
            return dg.AssetCheckResult(passed=passed, metadata=dict(metadata))
        # A warning doesn't block: the student is released all the same, and its card says so.
        return dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, metadata={**metadata, "overridden": reason}
        )

    name = examine.__name__
    return _defined(home, stage, name, inspect.getdoc(examine), check, blocking=True)


def _defined(
    home: DistillHome,
    stage: str,
    name: str,
    description: str | None,
    check: Callable[..., dg.AssetCheckResult],
    *,
    blocking: bool,
) -> dg.AssetChecksDefinition:
    with warnings.catch_warnings():
        # Partitioned checks are a preview in Dagster 1.13; without partitions a result would not name its recipe.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        decorate = dg.asset_check(
            asset=home.key(stage), name=name, description=description, blocking=blocking, partitions_def=home.partitions
        )
        return decorate(bound(check, home))


def entries_are_unique_and_readable(_: Recipe, output: Output) -> Verdict:
    """No entry occurs twice, each has token ids for the teacher, and its id in the tokenizer is its row."""
    vocabulary = read_vocabulary(output.folder)
    ids = [vocabulary.tokenizer.token_to_id(token) for token in vocabulary.tokens]
    repeated = len(vocabulary.tokens) - len(set(vocabulary.tokens))
    unread = [row for row, sequence in enumerate(vocabulary.teacher_ids) if not sequence]
    if unread:
        # Padding and unknown are not text: their rows are zero whatever the teacher reads for them.
        unread = np.intersect1d(unread, np.flatnonzero(entry_groups(vocabulary.tokenizer) >= 0)).tolist()
    misplaced = sum(found != row for row, found in enumerate(ids))
    return not (repeated or unread or misplaced), {
        "repeated_entries": repeated,
        "entries_without_teacher_ids": len(unread),
        "entries_whose_tokenizer_id_is_not_their_row": misplaced,
    }


def rows_are_finite_and_not_all_alike(_: Recipe, output: Output) -> Verdict:
    """Every row is present and finite, none is zero, and they differ."""
    # Only a sequence without tokens has a row of zeros: padding, when the tokenizer adds no special tokens.
    embeddings = Embeddings.of_parts(output.folder)
    low, high, bad, zero = np.inf, -np.inf, 0, 0
    for batch in embeddings.batches():
        bad += int((~np.isfinite(batch)).any(axis=1).sum())
        norms = np.linalg.norm(batch, axis=1)
        zero += int((norms == 0).sum())
        low, high = min(low, float(norms[norms != 0].min(initial=np.inf))), max(high, float(norms.max()))
    deviation = float(next(iter(embeddings.batches())).std(axis=0).mean())
    complete = embeddings.rows == output.facts["rows"] and zero == output.facts["empty"]
    return bad == 0 and complete and deviation > 0, {
        "rows_not_finite": bad,
        "rows_of_zeros": zero,
        "min_norm": low,
        "max_norm": high,
        "mean_deviation": deviation,
    }


def sentences_are_finite_and_not_all_alike(recipe: Recipe, output: Output) -> Verdict:
    """Every text's embedding is present and finite, none is zero, and they differ; without a refinement, no texts."""
    if recipe.refinement == "none":
        return output.facts["rows"] == 0, {"rows": output.facts["rows"]}
    return rows_are_finite_and_not_all_alike(recipe, output)


def matrix_is_finite(_: Recipe, output: Output) -> Verdict:
    """Every row is present and finite."""
    matrix = Embeddings([output.folder / MATRIX])
    bad = sum(int((~np.isfinite(batch)).any(axis=1).sum()) for batch in matrix.batches())
    return bad == 0 and matrix.rows == output.facts["rows"], {"rows": matrix.rows, "rows_not_finite": bad}


def golden_vectors_come_back(_: Recipe, output: Output) -> Verdict:
    """Loaded in model2vec, the student gives the golden vectors."""
    try:
        return True, {"max_difference": verify_golden(output.folder)}
    except StudentError as error:
        return False, {"problem": str(error)}


def floors_are_reached(recipe: Recipe, output: Output) -> Verdict:
    """The figures reach the recipe's floors."""
    quality = json.loads((output.folder / REPORT).read_text(encoding="utf-8"))
    failed = failed_floors(recipe, quality)
    return not failed, {
        **{measure: quality[measure] for measure in MEASURES},
        **{f"floor_of_{measure}": getattr(recipe, f"min_{measure}") for measure in FLOORS},
        "failed": "; ".join(failed) or "none",
    }


def release_stands(context: dg.AssetCheckExecutionContext, distill_home: DistillHome) -> dg.AssetCheckResult:
    """The Hub still holds the released files. It is asked at most once a day; this check warns and stops nothing."""
    look = release_standing(distill_home.store, context.partition_key, time.time())
    if not look.stands:
        context.log.warning(look.seen["problem"])
    return dg.AssetCheckResult(passed=look.stands, severity=dg.AssetCheckSeverity.WARN, metadata=dict(look.seen))


RELEASE_STANDS = release_stands.__name__


def checks_of(home: DistillHome) -> list[dg.AssetChecksDefinition]:
    """Return the checks of one home's assets."""
    looked_at = inspect.getdoc(release_stands)
    return [
        _check(home, "vocabulary", entries_are_unique_and_readable),
        _check(home, "token_embeddings", rows_are_finite_and_not_all_alike),
        _check(home, "text_embeddings", sentences_are_finite_and_not_all_alike),
        _check(home, "student_matrix", matrix_is_finite),
        _check(home, "static_model", golden_vectors_come_back),
        _check(home, "quality_report", floors_are_reached, reads_recipe=True),
        _defined(home, RELEASE, RELEASE_STANDS, looked_at, release_stands, blocking=False),
    ]

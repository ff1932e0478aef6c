"""What must hold before a student is released.

The evidence is about exactly these files, reaches the recipe's floors, and is not much worse than that of the current
release. An explicit override with a reason lets a weaker student pass, but never evidence about other files.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distill_pipeline.errors import DistillError
from distill_pipeline.quality.measures import FLOORS, MEASURES, figures_by_kind, identity_of, on_the_same_texts
from distill_pipeline.recipe.reading import refuse_access_tokens
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.student.files import model_digest


class ReleaseRefused(DistillError):
    """A student must not be released; the message says which figure or file prevents it."""


MAX_REASON = 500
"""Characters of a reason that a card has room for."""


def check_reason(reason: str) -> str:
    """Return the reason for an override without spaces around it, after checking that a card can show it.

    Raises:
        RecipeError: It holds what looks like a secret.
        ReleaseRefused: It is too long, or holds characters that can't be seen.
    """
    reason = reason.strip()
    refuse_access_tokens({"override_reason": reason}, "launch")
    if len(reason) > MAX_REASON:
        raise ReleaseRefused(f"override_reason has {len(reason):,} characters; the card has room for {MAX_REASON}")
    hidden = next((character for character in reason if not character.isprintable()), None)
    if hidden is not None:
        raise ReleaseRefused(f"override_reason holds the character {hidden!a}, which can't be seen; leave it out")
    return reason


def failed_floors(recipe: Recipe, quality: Mapping[str, Any]) -> list[str]:
    """Return a line for each figure that is below the recipe's floor or not finite."""
    floors = {figure: getattr(recipe, f"min_{figure}") for figure in FLOORS}
    failed = [
        f"{figure} {quality[figure]:.3f} is below the floor {floor}"
        for figure, floor in floors.items()
        if quality[figure] < floor
    ]
    means = figures_by_kind(quality) if recipe.min_scores else {}
    failed += [
        f"the score of kind {kind!r}, {means[kind]:.3f}, is below the floor {floor}"
        for kind, floor in recipe.min_scores.items()
        if means[kind] < floor
    ]
    values = {measure: quality[measure] for measure in MEASURES}
    values |= {f"the score on {name}": score for name, score in _scores(quality).values()}
    return failed + [f"{name} is no number: {value}" for name, value in values.items() if not math.isfinite(value)]


def regressions(recipe: Recipe, quality: Mapping[str, Any], released: Mapping[str, Any] | None) -> list[str]:
    """Return a line for each figure that is worse than the released one's by more than the recipe's tolerance.

    What can't be compared is told by `not_compared`.
    """
    if released is None:
        return []
    same_texts = on_the_same_texts(released, quality)
    figures = [(figure, released.get(figure), quality[figure]) for figure in MEASURES if same_texts]
    scores = _scores(released)
    figures += [(name, scores[key][1], now) for key, (name, now) in _scores(quality).items() if key in scores]
    return [
        f"{figure} {now:.3f} is worse than the released one's {before:.3f} by more than "
        f"max_regression {recipe.max_regression}"
        for figure, before, now in figures
        if isinstance(before, int | float) and math.isfinite(before) and not before - now <= recipe.max_regression
    ]


def not_compared(quality: Mapping[str, Any], released: Mapping[str, Any] | None) -> list[str]:
    """Return a line for what can't be compared with the current release, and why."""
    if released is None:
        return []
    lines = []
    if not on_the_same_texts(released, quality):
        why = "it was measured on other texts" if "texts_sha256" in released else "it doesn't say on which texts"
        lines.append(f"{', '.join(MEASURES)}: {why}")
    now, before = _scores(quality), _scores(released)
    before_names, now_names = ({name for name, _ in scores.values()} for scores in (before, now))
    lines += [
        f"{name}: {'its content changed' if name in before_names else 'the release has no score on it'}"
        for key, (name, _) in now.items()
        if key not in before
    ]
    lines += [f"{name}: the recipe doesn't name it any more" for name in sorted(before_names - now_names)]
    return [f"not compared with the current release: {line}" for line in lines]


def _scores(quality: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """Return `{identity: (name, the student's score)}` of each labelled set of a report."""
    return {
        identity_of(entry): (f"{entry['kind']}:{entry['set']}", entry["student"])
        for entry in quality.get("labelled_sets", ())
    }


def read_report(content: bytes | None) -> dict[str, Any] | None:
    """Return a quality report, or None when it is missing or unreadable."""
    try:
        report = json.loads(content or b"")
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def check_evidence(
    recipe: Recipe,
    model: Path,
    report: Path,
    *,
    released: Mapping[str, Any] | None = None,
    objections: Sequence[str] = (),
    override_reason: str = "",
) -> tuple[dict[str, Any], list[str]]:
    """Return the quality report and what was overridden, after checking that the student may be released.

    Args:
        recipe: Its floors and tolerance.
        model: The student's folder.
        report: Path of its quality report.
        released: The report of the current release.
        objections: What speaks against the place that it goes to.
        override_reason: Why to release it all the same; empty for no override.

    Raises:
        ReleaseRefused: The report is about other files; or the student is too weak or would replace something else,
            and there is no override.
        RecipeError: The reason holds an access token.
    """
    refuse_access_tokens({"override_reason": override_reason}, recipe.name)
    quality: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    if quality["model_digest"] != model_digest(model):
        raise ReleaseRefused(
            f"{recipe.name}: the quality report is about other files than {model}; materialise quality_report again"
        )
    failed = [*failed_floors(recipe, quality), *regressions(recipe, quality, released), *objections]
    refuse(recipe, failed, override_reason)
    return quality, failed


def refuse(recipe: Recipe, failed: Sequence[str], override_reason: str) -> None:
    """Raise `ReleaseRefused` if something speaks against a release and there is no reason to override it."""
    if failed and not check_reason(override_reason):
        raise ReleaseRefused(
            f"{recipe.name} is not released: {'; '.join(failed)}. To release it all the same, give a reason, which "
            "the card will show: --override_reason '...'"
        )

"""Release a checked student: assemble it, compare it with the current release, publish it, and replace that one."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.filesize import decimal

from distill_pipeline.hub.access import Patience
from distill_pipeline.hub.cards import CARD
from distill_pipeline.hub.explain import explaining
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.card import model_card
from distill_pipeline.release.destination import Destination, objections
from distill_pipeline.release.eval_results import write_eval_results
from distill_pipeline.release.gate import check_evidence, not_compared, read_report
from distill_pipeline.release.ingredients import Ingredients
from distill_pipeline.release.provenance import write_provenance
from distill_pipeline.release.publish import HubCommit, publish
from distill_pipeline.release.repository import Difference, compare, read_remote
from distill_pipeline.release.variants import check_variant, write_variant
from distill_pipeline.store.disk import (
    MANIFEST,
    file_table,
    let_others_read,
    replace_folder,
    restore_folder,
    write_json,
)
from distill_pipeline.store.locks import locked
from distill_pipeline.student.files import FIGURES, PROVENANCE, REPORT
from distill_pipeline.student.folder import verify_golden

Log = Callable[[str], None]


def release(
    ingredients: Ingredients, target: Path, *, override_reason: str, log: Log
) -> tuple[dict[str, dict[str, Any]], HubCommit | None]:
    """Release a student: to the Hub when its recipe names a repository, then to `target` in the local registry.

    The Hub comes first: when that fails, the registry keeps the earlier release, and nothing is half released.

    Returns:
        `{name: {sha256, size}}` of the released files, and the commit on the Hub.

    Raises:
        ReleaseRefused: The gate refuses the student, and there is no reason to override it.
        VariantError, StudentError: The model or a variant doesn't give the golden vectors.
        HubError: The Hub refuses or is out of reach.
    """
    recipe = ingredients.recipe
    patience = Patience(recipe.patience_seconds, log=log)
    with _assembled(ingredients, target, override_reason, patience, log) as (folder, head):
        commit = None
        if recipe.repository:
            commit = publish(
                folder,
                Destination.of(recipe, private=ingredients.private),
                patience,
                expected_head=head,
                over_anything=bool(override_reason.strip()),
                log=log,
            )
            log(f"{'released' if commit.created else 'already released'}: {commit.url}")
        files = file_table(folder)
        replace_folder(folder, target)
    return files, commit


def preview(ingredients: Ingredients, target: Path, *, override_reason: str = "") -> str:
    """Return the release's files and how they differ from the current release, without changing anything.

    Raises:
        ReleaseRefused, VariantError, StudentError, HubError: As `release` would.
    """
    recipe = ingredients.recipe
    patience = Patience(recipe.patience_seconds)
    with _assembled(ingredients, target, override_reason, patience) as (folder, _):
        if recipe.repository is None:
            before, now = file_table(target) if target.is_dir() else {}, file_table(folder)
            found = Difference(
                added=tuple(now.keys() - before.keys()),
                changed=tuple(name for name in now.keys() & before.keys() if now[name] != before[name]),
                removed=tuple(before.keys() - now.keys()),
            )
            return _tree(folder, found, str(target))
        from huggingface_hub import HfApi

        with explaining(recipe.repository):
            remote, found = compare(HfApi(), folder, recipe.repository, recipe.branch, patience)
        place = f"{recipe.repository}@{recipe.branch or 'main'}"
        return _tree(folder, found, f"{place} ({remote.commit[:12] if remote else 'not on the Hub yet'})")


def _tree(folder: Path, found: Difference, place: str) -> str:
    """Return a line per file with its size and how it differs from the current release."""
    marks = {**dict.fromkeys(found.added, "+"), **dict.fromkeys(found.changed, "~")}
    sizes = {name: file["size"] for name, file in sorted(file_table(folder).items())}
    lines = [f"{marks.get(name, '=')} {name:<40} {decimal(size):>10}" for name, size in sizes.items()]
    lines += [f"- {name}" for name in sorted(found.removed)]
    counts = f"{len(found.added)} new, {len(found.changed)} changed, {len(found.removed)} removed"
    return "\n".join([*lines, "", f"against {place}: {counts}. Nothing was written."])


@contextmanager
def _assembled(
    ingredients: Ingredients, target: Path, override_reason: str, patience: Patience, log: Log = lambda _: None
) -> Iterator[tuple[Path, str | None]]:
    """Yield a temporary folder with the release, and the Hub's head that the gate compared it with."""
    waiting = f"another release of {target.name} is under way; waiting for it"
    with locked(release_lock(target), lambda: log(waiting)):
        restore_folder(target)
        yield from _assemble(ingredients, target, override_reason, patience, log)


def release_lock(target: Path) -> Path:
    """Return the lock that a process holds while it assembles a release or replaces one."""
    return target.with_name(f".{target.name}.lock")


def _assemble(
    ingredients: Ingredients, target: Path, override_reason: str, patience: Patience, log: Log
) -> Iterator[tuple[Path, str | None]]:
    recipe = ingredients.recipe
    released, head, found = _current(recipe, target, patience)
    quality, overridden = check_evidence(
        recipe,
        ingredients.model.folder,
        ingredients.quality.folder / REPORT,
        released=released,
        objections=found,
        override_reason=override_reason,
    )
    for line in not_compared(quality, released):
        log(line)
    if overridden:
        log(f"released against the gate: {'; '.join(overridden)}; reason: {override_reason}")
    if ingredients.licence is None:
        log("the teacher's licence is unknown: the Hub is out of reach, and its cache lacks the teacher's card")
    folder = target.with_name(f".{target.name}.{uuid4().hex}.partial")
    folder.mkdir()
    try:
        prepare(folder, ingredients, quality, overridden, override_reason if overridden else "")
        yield folder, head
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _current(recipe: Recipe, target: Path, patience: Patience) -> tuple[dict[str, Any] | None, str | None, list[str]]:
    """Return the report of the current release, its commit if it is on the Hub, and objections to going there."""
    if recipe.repository is None:
        path = target / REPORT
        report = read_report(path.read_bytes()) if path.exists() else None
        return report, None, objections(recipe, target, None, patience)
    from huggingface_hub import HfApi

    api, name = HfApi(), recipe.repository
    with explaining(name):
        remote = patience.retry(lambda: read_remote(api, name, recipe.branch))
        found = objections(recipe, target, remote, patience)
        if remote is None:
            return None, None, found
        return read_report(patience.retry(lambda: remote.read(api, REPORT))), remote.commit, found


def prepare(
    folder: Path, ingredients: Ingredients, quality: Mapping[str, Any], overridden: Sequence[str], override_reason: str
) -> None:
    """Assemble a release in an empty folder: model, variants, evidence, pictures, card, provenance.

    Raises:
        VariantError, StudentError: The model or a variant doesn't give the golden vectors.
    """
    shutil.copytree(ingredients.model.folder, folder, ignore=shutil.ignore_patterns(MANIFEST), dirs_exist_ok=True)
    verify_golden(folder)
    distances: dict[str, float] = {}
    for variant in ingredients.recipe.variants:
        write_variant(folder, variant, ingredients.teacher_source, ingredients.recipe.prompt)
        distances |= check_variant(folder, variant)
    if ingredients.recipe.evaluation_texts or ingredients.recipe.corpus:  # may be private; the UI shows them
        quality = {**quality, "examples": []}
    write_json(folder / REPORT, quality)
    write_eval_results(folder, quality)
    for pictures in ingredients.pictures:
        shutil.copytree(pictures / FIGURES, folder / FIGURES, dirs_exist_ok=True)
    card = model_card(
        ingredients,
        quality,
        variants=distances,
        figures=[path.relative_to(folder).as_posix() for path in sorted((folder / FIGURES).rglob("*.png"))],
        overridden=overridden,
        override_reason=override_reason,
    )
    (folder / CARD).write_text(card, encoding="utf-8")
    write_provenance(folder, ingredients, override_reason)
    let_others_read(folder, folder / PROVENANCE)


def is_intact(target: Path, files: Mapping[str, Any]) -> bool:
    """Whether the release folder holds exactly these files with these bytes."""
    return target.is_dir() and file_table(target) == files

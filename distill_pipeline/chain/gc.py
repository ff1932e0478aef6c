"""What the local store holds, for which recipes, and what can go, with what killed releases left.

Decides nothing by age.

An output is wanted when a recipe's present settings lead to it, with the teacher as it stands now, or when a stage of
the recipe was last made as it: a run in progress reads these. Nothing goes while a recipe can't be read, for then
nobody knows what it wants, and nothing whose lock a run holds.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from distill_pipeline.chain.baseline import baseline_key
from distill_pipeline.chain.home import Home
from distill_pipeline.chain.plan import Identity, identify_teachers
from distill_pipeline.chain.stages import (
    PICTURED,
    STAGES,
    cuts_key,
    model2vec_student_key,
    pictures_key,
    stage_keys,
    teacher_evaluation_key,
)
from distill_pipeline.errors import DistillError
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import remove as remove_path
from distill_pipeline.store.disk import size_of
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store
from distill_pipeline.store.locks import is_held

Address = tuple[str, str]
"""Stage and fingerprint."""

OUTPUT, REMAINS, RECORD = "output", "left by a killed run", "record"
"""Kinds of leftovers."""

_NAME = re.compile(
    r"\.{0,2}(?P<fingerprint>[0-9a-f]{64})(?P<kind>|\.lock|\.verdict(\.\w+\.partial)?|(\.\w+)?\.(partial|fetched|old))"
)

_OF_A_RELEASE = re.compile(r"\.(?P<name>.+)\.\w+\.(?P<kind>partial|old)")


@dataclass(frozen=True)
class Leftover:
    """Something that no recipe needs: of a stage's fingerprint, or the record or the release of a recipe by name."""

    stage: str
    name: str
    kind: str
    paths: tuple[Path, ...]
    bytes: int


@dataclass
class Findings:
    """What can go, and what stays.

    Attributes:
        leftovers: What can go; nothing when there are obstacles.
        obstacles: Why nothing can go: recipes that can't be read, runs that no recipe explains.
    """

    leftovers: list[Leftover] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    kept_outputs: int = 0
    kept_bytes: int = 0


def find_leftovers(home: Home) -> Findings:
    """Return what can go, without changing anything.

    Asks the Hub, once for each teacher that recipes follow and without patience, where it stands, and a shared store
    nothing: it is about this machine's, which has records of its own.
    """
    recipes, obstacles = home.load_recipes()
    store = home.local_store
    identified, problems = identify_teachers(home, recipes.values())
    wanted: set[Address] = set()
    for recipe, identity in identified:
        try:
            wanted |= set(_wanted_by(recipe, identity))
        except DistillError as error:  # about its corpus, words or labelled sets
            problems[recipe.name] = str(error)
    # One that was never run has nothing here to lose.
    obstacles += [f"{name}: {problem}" for name, problem in problems.items() if recorded_keys(store, name)]
    wanted |= _recorded_addresses(home)
    entries = _entries(store)
    running = {address for address, paths in entries.items() if ".lock" in paths and is_held(paths[".lock"])}
    for stage, fingerprint in sorted(running - wanted):
        obstacles.append(f"a run that no recipe explains is making {stage} {fingerprint[:12]}")
    if obstacles:
        return Findings(obstacles=obstacles)
    findings = Findings()
    for address, paths in sorted(entries.items()):
        if address in wanted and "" in paths:
            findings.kept_outputs += 1
            findings.kept_bytes += size_of(paths[""])
        gone = _unwanted(paths) if address in wanted else tuple(paths.values())
        if gone and address not in running:
            kind = REMAINS if address in wanted or "" not in paths else OUTPUT
            findings.leftovers.append(Leftover(*address, kind, gone, sum(map(size_of, gone))))
    findings.leftovers += _remains_of_releases(home.releases)
    names = _names(home)
    findings.leftovers += [
        Leftover("recipes", path.name, RECORD, (path,), size_of(path))
        for path in sorted(store.records.glob("*/"))
        if path.name not in names
    ]
    return findings


def _remains_of_releases(releases: Path) -> list[Leftover]:
    """Return what killed releases left; a release that one had moved aside stays until the next puts it back."""
    remains: dict[str, list[Path]] = {}
    for path in sorted(releases.glob(".*")):
        match = _OF_A_RELEASE.fullmatch(path.name)
        if match and (match["kind"] == "partial" or (releases / match["name"]).exists()):
            remains.setdefault(match["name"], []).append(path)
    return [
        Leftover(releases.name, name, REMAINS, tuple(paths), sum(map(size_of, paths)))
        for name, paths in remains.items()
        if not is_held(paths[0].with_name(f".{name}.lock"))
    ]


def _wanted_by(recipe: Recipe, identity: Identity) -> Iterator[Address]:
    """Yield what a recipe's present settings lead to. Raises `DistillError`."""
    keys = stage_keys(recipe, identity)
    baseline = baseline_key(recipe, identity, recipe.pca_dims) if isinstance(recipe.pca_dims, int) else None
    beside = [baseline, model2vec_student_key(keys["token_embeddings"])] if baseline else []
    yield from _addresses([*keys.values(), *beside])


def _recorded_addresses(home: Home) -> set[Address]:
    return {address for name in _names(home) for address in _addresses(recorded_keys(home.local_store, name))}


def _names(home: Home) -> set[str]:
    """Return the names of all recipes and sweeps."""
    return {*home.load_recipes()[0], *home.recipe_files()}


def _addresses(keys: Iterable[StageKey]) -> Iterator[Address]:
    for key in keys:
        beside = [pictures_key(key)] if key.stage in PICTURED else []
        beside += [teacher_evaluation_key(key), cuts_key(key)] if key.stage == "quality_report" else []
        for wanted in (key, *beside):
            yield wanted.stage, wanted.fingerprint


def recorded_keys(store: Store, recipe_name: str) -> list[StageKey]:
    """Return the keys that this recipe's stages, and what lies beside them, were last made with."""
    names = [(recipe_name, stage) for stage in STAGES]
    # What a stage makes besides its own output may be recorded for `RECIPE/PURPOSE`.
    beside = sorted((store.records / recipe_name).glob("*/*.json"))
    names += [(f"{recipe_name}/{path.parent.name}", path.stem) for path in beside]
    found = (store.recorded_inputs(name, stage) for name, stage in names)
    return [StageKey.of(made_of) for made_of in found if made_of is not None]


def _entries(store: Store) -> dict[Address, dict[str, Path]]:
    """Return each fingerprint's paths in the store by kind: "" the output, then what `_NAME` tells apart."""
    entries: dict[Address, dict[str, Path]] = {}
    for path in store.root.glob("*/*"):
        match = _NAME.fullmatch(path.name)
        if match and path.parent != store.records:
            entries.setdefault((path.parent.name, match["fingerprint"]), {})[match["kind"]] = path
    return entries


def _unwanted(paths: Mapping[str, Path]) -> tuple[Path, ...]:
    """Return what can go of the paths of a wanted output. An unfinished one is where its next run goes on."""
    kinds = [kind for kind in paths if kind.endswith(".old") or kind.startswith(".verdict.")]
    kinds += [kind for kind in paths if "" in paths and kind.endswith((".partial", ".fetched")) and kind not in kinds]
    return tuple(paths[kind] for kind in kinds)


def remove(home: Home, leftover: Leftover) -> bool:
    """Remove a leftover, unless a run has come to need it meanwhile; return whether it is gone."""
    if leftover.kind == RECORD:
        _remove_paths(leftover.paths)
        return True
    lock = leftover.paths[0].with_name(f".{leftover.name}.lock")
    try:
        with FileLock(lock).acquire(timeout=0):
            # A run records an output before it releases this lock.
            if leftover.kind == OUTPUT and (leftover.stage, leftover.name) in _recorded_addresses(home):
                return False
            _remove_paths(path for path in leftover.paths if path != lock)
            lock.unlink(missing_ok=True)  # a run that waits for it notices, and makes another
            return True
    except (Timeout, PermissionError):
        return False


def _remove_paths(paths: Iterable[Path]) -> None:
    for path in paths:
        doomed = path
        if not path.name.startswith("."):  # by one rename out of a reader's sight: nobody finds half of it
            doomed = path.with_name(f".{path.name}.{os.getpid()}.old")
            try:
                path.rename(doomed)
            except FileNotFoundError:  # another has removed it meanwhile
                continue
        remove_path(doomed)


def sizes(store: Store, recipe_name: str) -> dict[Address, int]:
    """Return the bytes of what a recipe's stages were last made as, where the store still holds it."""
    addresses = _addresses(recorded_keys(store, recipe_name))
    manifests = {address: store.manifest(StageKey(*address, {})) for address in addresses}
    return {address: sum(file["size"] for file in m["files"].values()) for address, m in manifests.items() if m}

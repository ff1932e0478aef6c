"""Where an installation keeps its recipes, stage outputs, releases and Dagster's history."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import unquote

from distill_pipeline.errors import DistillError, RecipeError, did_you_mean, explained
from distill_pipeline.recipe.presets import SHIPPED_RECIPES
from distill_pipeline.recipe.reading import SWEEP, lasting_yaml, make_recipe, read_fields, read_recipe, resolved_fields
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.recipe.sweeps import expand
from distill_pipeline.store.local import Store
from distill_pipeline.store.locks import locked
from distill_pipeline.store.shared import STORE_URL, remote_store

_DAGSTER_YAML = """\
# Made once by distill-pipeline; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false
# The daemon starts one run at a time that uses a pool; the only pool is `teacher`. By run, not by op: an op's slot
# outlives a killed process, and the next run would wait for it forever.
concurrency:
  pools:
    granularity: run
    default_limit: 1
run_monitoring:
  enabled: true
"""


_OF_ONE_RUN = frozenset({"commit_message", "device", "patience_seconds"})
"""Fields that say how to run, not what is made or where it goes."""


class HomeError(DistillError):
    """A home that can't be used; the message names the setting and says why."""


def default_home() -> Path:
    """Return `$DISTILL_HOME`, or `.distill` in the working folder. Raises `HomeError`."""
    return _folder("DISTILL_HOME", Path(".distill"))


def _folder(setting: str, default: Path) -> Path:
    """Return the folder that an environment variable names; an empty one names none. Raises `HomeError`."""
    named = os.environ.get(setting) or default
    try:
        return Path(named).expanduser().resolve()
    except (RuntimeError, OSError) as error:  # `~name` of nobody, links in a circle, a working folder that is gone
        raise HomeError(f"{setting}={named}: {error}; set it to the whole path of a folder") from error


def is_recipe_file(path: Path) -> bool:
    """Whether a path is that of a recipe or a sweep, by its name. Hidden ones are none: editors leave such."""
    return path.suffix in {".yaml", ".yml"} and not path.name.startswith(".")


@dataclass(frozen=True)
class Home:
    """The folders below one `$DISTILL_HOME`."""

    root: Path

    @property
    def store(self) -> Store:
        """The stage outputs; shared with other machines when `$DISTILL_STORE_URL` is set.

        Raises:
            RemoteError: That URL can't be used.
        """
        url = os.environ.get(STORE_URL)
        return Store(self.local_store.root, remote_store(url) if url else None)

    @property
    def local_store(self) -> Store:
        """The stage outputs on this machine alone; whoever asks about them asks no server."""
        return Store(self.root / "store")

    @property
    def releases(self) -> Path:
        """The local registry: one folder per released recipe."""
        return self.root / "releases"

    @property
    def recipes(self) -> Path:
        """Folder of this installation's own recipes; the shipped ones are in the package."""
        return self.root / "recipes"

    @property
    def known_commits(self) -> Path:
        """File of the commits that the teachers' branches were last seen at."""
        return self.root / "teachers.json"

    def check_writable(self) -> None:
        """Check that this process may write here, before any work. Raises `HomeError`."""
        stages = (folder for folder in self.root.glob("store/*") if folder.is_dir())
        for folder in (self.root, self.recipes, self.root / "store", self.releases, *stages):
            _check_writable(folder, "DISTILL_HOME", self.root)

    def prepare_dagster(self) -> None:
        """Set Dagster's home, `$DAGSTER_HOME` or the folder `dagster` in here, and configure it on first use.

        Raises:
            HomeError: Nothing can be written here or there, or Dagster can't keep its history in such a folder.
        """
        self.check_writable()
        folder = _folder("DAGSTER_HOME", self.root / "dagster")
        if "?" in str(folder) or unquote(str(folder)) != str(folder):  # Dagster makes a URL of it, without quoting
            raise HomeError(f"DAGSTER_HOME={folder}: Dagster can't use a path with '?' or such as '%20'; set another")
        os.environ["DAGSTER_HOME"] = str(folder)  # Dagster takes no other than an absolute one
        _check_writable(folder, "DAGSTER_HOME", folder)
        folder.mkdir(parents=True, exist_ok=True)
        with self.first_use_of_dagster():
            if not (folder / "dagster.yaml").exists():
                _write(folder / "dagster.yaml", _DAGSTER_YAML.encode())

    def first_use_of_dagster(self) -> AbstractContextManager[None]:
        """Return a lock for what is made in Dagster's home at its first use: of two runs, one waits for the other."""
        return locked(Path(os.environ["DAGSTER_HOME"]) / ".first-use.lock", lambda: None)

    def recipe_files(self) -> dict[str, Path]:
        """Return the path of each recipe file by its stem: the shipped ones, then this installation's own."""
        own: list[Path] = []
        with suppress(OSError):  # `load_recipes` says so
            own = sorted(self.recipes.iterdir())
        paths = filter(is_recipe_file, [*sorted(SHIPPED_RECIPES.iterdir()), *own])
        return {path.stem: path for path in paths}

    def load_recipes(self) -> tuple[dict[str, Recipe], list[str]]:
        """Return the valid recipes by name, including the sweeps' members, and what is wrong with the others.

        One person's misspelt file must not make the whole code location unusable for everyone.
        """
        recipes: dict[str, Recipe] = {}
        problems = []
        for path, found in self._read_files():
            if isinstance(found, RecipeError):
                problems.append(str(found))
                continue
            problems += [f"{path}: another sweep has a member {name!r} too" for name in found.keys() & recipes.keys()]
            recipes |= found
        return recipes, problems

    def sweeps(self) -> dict[str, list[str]]:
        """Return the members' names of each valid sweep, in the file's order."""
        found = {path.stem: list(members) for path, members in self._read_files() if isinstance(members, dict)}
        return {name: members for name, members in found.items() if members != [name]}

    def recipes_named(self, names: Iterable[str]) -> list[Recipe]:
        """Return the recipes of these names, each once; a sweep's name stands for its members.

        Raises:
            RecipeError: There is no recipe of a name, or its file's content is wrong.
        """
        sweeps = self.sweeps()
        members = [member for name in names for member in sweeps.get(name, [name])]
        return [self.recipe(name) for name in dict.fromkeys(members)]

    def recipe(self, name: str) -> Recipe:
        """Return one recipe.

        Raises:
            RecipeError: There is no recipe of this name, or its file's content is wrong.
        """
        files = self.recipe_files()
        # A member's name begins with its sweep's; a file of the very name comes first.
        problems: list[RecipeError] = []
        for stem in sorted(files, key=len, reverse=True):
            if name == stem or name.startswith(f"{stem}."):
                try:
                    members = _members(files[stem], files)
                except RecipeError as error:
                    problems.append(error)  # perhaps it is a member of another file's sweep
                    continue
                if name in members:
                    return members[name]
                if name == stem:
                    raise RecipeError(
                        f"{name!r} is a sweep of {len(members)} recipes: distill-pipeline sweep {name} runs them all. "
                        f"One of them is {next(iter(members))}"
                    )
        if problems:
            raise problems[0]
        self._check_readable()
        known = sorted(self.load_recipes()[0])
        raise RecipeError(f"there is no recipe {name!r}{did_you_mean(name, known)} (known: {', '.join(known)})")

    def save_sweep(self, file: Path) -> str:
        """Copy a sweep's file to this installation's own recipes and return the sweep's name.

        Raises:
            RecipeError: It is no valid sweep, another file has its name, or it means something else in its new place.
        """
        fields = read_fields(file)
        if SWEEP not in fields:
            raise RecipeError(f"{file}: this is no sweep: it holds no `{SWEEP}:`")
        members = expand(fields, file)
        path = self.recipes / f"{file.stem}.yaml"
        taken = self.recipe_files().get(file.stem)
        if taken and read_fields(taken) != fields:
            raise RecipeError(f"{file}: there is another recipe file of this name, {taken}; rename one of them")
        if not taken:
            if members != expand(fields, path):
                raise RecipeError(f"{file}: it names files relative to its own folder; write their paths in full")
            _write(path, file.read_bytes())
        return file.stem

    def save_recipe(self, recipe: Recipe) -> Path:
        """Write a recipe to this installation's own recipes and return its path.

        Raises:
            RecipeError: A shipped recipe, a sweep or a sweep's member has this name.
        """
        if (SHIPPED_RECIPES / f"{recipe.name}.yaml").exists():
            raise RecipeError(f"name={recipe.name!r} is that of a shipped recipe; choose another with --name")
        for sweep, members in self.sweeps().items():
            if recipe.name in {sweep, *members}:
                raise RecipeError(f"name={recipe.name!r} belongs to the sweep {sweep!r}; choose another with --name")
        return _write(self._own_file(recipe.name), lasting_yaml(recipe).encode())

    def check_settings_stay(self, recipe: Recipe) -> None:
        """Check that saving a recipe replaces no settings.

        Raises:
            RecipeError: This installation has a recipe of this name with other settings; the message says which.
        """
        path = self._own_file(recipe.name)
        if not path.exists():
            return
        try:
            before, now = resolved_fields(read_recipe(path)), resolved_fields(recipe)
            differing = [field for field in now if before[field] != now[field] and field not in _OF_ONE_RUN]
            changed = [f"{field}: {before[field]} -> {now[field]}" for field in differing]
        except RecipeError as error:
            changed = [str(error)]
        if changed:
            raise RecipeError(
                f"there is another recipe {recipe.name!r}: {'; '.join(changed)}. Choose another name with --name, or "
                "replace that recipe, and its release, with --overwrite"
            )

    def _own_file(self, name: str) -> Path:
        """Return the file of a recipe of this installation, whether or not it exists."""
        other = self.recipes / f"{name}.yml"
        return other if other.exists() else self.recipes / f"{name}.yaml"

    def _check_readable(self) -> None:
        try:
            next(self.recipes.iterdir(), None)
        except FileNotFoundError:  # no recipe was saved yet
            pass
        except OSError as error:
            raise RecipeError(f"{self.recipes}: can't be read, nor any recipe in it: {error.strerror}") from error

    def _read_files(self) -> Iterator[tuple[Path, dict[str, Recipe] | RecipeError]]:
        """Yield each recipe file with its recipes by name, or with what is wrong with it."""
        try:
            self._check_readable()
        except RecipeError as error:
            yield self.recipes, error
        files = self.recipe_files()
        for path in files.values():
            try:
                yield path, _members(path, files)
            except RecipeError as error:
                yield path, error


def _members(path: Path, stems: Iterable[str]) -> dict[str, Recipe]:
    """Return the recipes of one file by name: its own, or a sweep's members.

    Raises:
        RecipeError: The content is wrong, or a member has the name of another file.
    """
    if path.suffix == ".yml" and path.with_suffix(".yaml").exists():
        raise RecipeError(f"{path}: there is {path.stem}.yaml beside it; remove one of the two")
    with explained(RecipeError, str(path)):
        fields = read_fields(path)
        if SWEEP not in fields:
            return {path.stem: make_recipe(fields, source=str(path), base=path.parent)}
        members = expand(fields, path)
    for taken in members.keys() & set(stems):
        raise RecipeError(f"{path}: the sweep's member {taken!r} has the name of another file; rename that file")
    return members


def _check_writable(folder: Path, setting: str, home: Path) -> None:
    try:
        with TemporaryFile(dir=next(path for path in (folder, *folder.parents) if path.exists())):
            pass
    except OSError as error:
        reason = f"{folder} can't be written to: {error.strerror}"
        raise HomeError(f"{setting}={home}: {reason}; ask its owner, or set it to a folder of your own") from error


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return path

"""Where an installation keeps its recipes, stage outputs, releases and Dagster's history."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from distill_pipeline.errors import did_you_mean
from distill_pipeline.recipe import Recipe, RecipeError
from distill_pipeline.recipe_reading import read_recipe, recipe_yaml
from distill_pipeline.remote_store import SETTING, remote_store
from distill_pipeline.store import Store

PROJECT = Path(__file__).resolve().parent.parent
SHIPPED_RECIPES = PROJECT / "recipes"

_DAGSTER_YAML = """\
# Made once by distill-pipeline; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false
# The daemon starts one run at a time that uses a pool; the only pool is `teacher`. By run, not by op: an op's slot
# outlives a killed process, and the next run would wait for it for ever.
concurrency:
  pools:
    granularity: run
    default_limit: 1
run_monitoring:
  enabled: true
"""


def default_home() -> Path:
    """Return `$DISTILL_HOME`, or `.distill` in the project."""
    return Path(os.environ.get("DISTILL_HOME") or PROJECT / ".distill").expanduser().resolve()


@dataclass(frozen=True)
class Home:
    """The folders below one `$DISTILL_HOME`."""

    root: Path

    @property
    def store(self) -> Store:
        """The stage outputs; shared with other machines when `$DISTILL_STORE_URL` names a place for them.

        Raises:
            RemoteError: That place can't be used.
        """
        url = os.environ.get(SETTING)
        return Store(self.root / "store", remote_store(url) if url else None)

    @property
    def releases(self) -> Path:
        """The local registry: one folder per released recipe."""
        return self.root / "releases"

    @property
    def recipes(self) -> Path:
        """Recipes of this installation; the shipped ones lie in the project."""
        return self.root / "recipes"

    def prepare_dagster(self) -> None:
        """Give Dagster its home: `$DAGSTER_HOME`, or `dagster` in here, with telemetry off."""
        folder = Path(os.environ.setdefault("DAGSTER_HOME", str(self.root / "dagster"))).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "dagster.yaml").exists():
            (folder / "dagster.yaml").write_text(_DAGSTER_YAML, encoding="utf-8")

    def recipe_files(self) -> dict[str, Path]:
        """Return the path of each recipe by its name: the shipped ones, then this installation's own."""
        folders = (SHIPPED_RECIPES, self.recipes)
        paths = [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.yaml"))]
        return {path.stem: path for path in paths}

    def load_recipes(self) -> tuple[dict[str, Recipe], list[str]]:
        """Return the valid recipes by name, and what is wrong with the others.

        One person's misspelt file must not take the whole code location away from everybody.
        """
        recipes, problems = {}, []
        for name, path in self.recipe_files().items():
            try:
                recipes[name] = read_recipe(path)
            except RecipeError as error:
                problems.append(str(error))
        return recipes, problems

    def recipe(self, name: str) -> Recipe:
        """Return one recipe.

        Raises:
            RecipeError: No file has this name, or its content is wrong.
        """
        files = self.recipe_files()
        if name not in files:
            raise RecipeError(
                f"there is no recipe {name!r}{did_you_mean(name, files)} (known: {', '.join(sorted(files))})"
            )
        return read_recipe(files[name])

    def save_recipe(self, recipe: Recipe) -> Path:
        """Write a recipe to this installation's own recipes and return its path.

        Raises:
            RecipeError: A shipped recipe has this name.
        """
        if (SHIPPED_RECIPES / f"{recipe.name}.yaml").exists():
            raise RecipeError(f"name={recipe.name!r} is that of a shipped recipe; choose another with --name")
        self.recipes.mkdir(parents=True, exist_ok=True)
        path = self.recipes / f"{recipe.name}.yaml"
        partial = path.with_suffix(".partial")
        partial.write_text(recipe_yaml(recipe), encoding="utf-8")
        partial.replace(path)
        return path

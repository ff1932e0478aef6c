"""The resource of all assets: this installation's folders, recipes and teachers."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
from pydantic import Field

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store
from distill_pipeline.teacher.source import TeacherSource


class DistillHome(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The installation's home folder with recipes, stage outputs and releases."""

    path: str = Field(description="Folder of recipes, stage outputs and releases.")

    @property
    def home(self) -> Home:
        """The home as the rest of the package knows it."""
        return Home(Path(self.path))

    @property
    def store(self) -> Store:
        """The stage outputs. Raises `RemoteError`."""
        return self.home.store

    @property
    def releases(self) -> Path:
        """The local registry: one folder per released recipe."""
        return self.home.releases

    def recipe(self, name: str) -> Recipe:
        """Return the recipe, read from its file now. Raises `RecipeError`."""
        return self.home.recipe(name)

    def teacher(self, recipe: Recipe) -> TeacherSource:
        """Return the recipe's teacher. Raises `TeacherError`."""
        return find_teacher(self.home, recipe)

    def stage_keys(self, recipe: Recipe) -> Mapping[str, StageKey]:
        """Return the key of each stage of this recipe."""
        return stage_keys(recipe, self.teacher(recipe).identity)

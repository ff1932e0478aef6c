"""The resources of all assets. They are settings of the process that loads the code location.

None has configuration: whoever may launch a run could otherwise lead it to another folder's recipes and their code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import stage_keys
from distill_pipeline.chain.teachers import find_teacher
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Store
from distill_pipeline.teacher.source import TeacherSource


@dataclass(frozen=True)
class DistillHome:
    """This installation's folders, recipes and teachers, as the assets ask for them."""

    home: Home

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


def resources_of(home: Home) -> dict[str, dg.ResourceDefinition]:
    """Return the code location's resources for this home."""
    return {
        "distill_home": dg.ResourceDefinition(lambda _: DistillHome(home), config_schema={}),
        # The stages pass on folders of the store, no values; Dagster's own choice takes a folder from a launch.
        "io_manager": dg.IOManagerDefinition(dg.mem_io_manager.resource_fn, config_schema={}),
    }

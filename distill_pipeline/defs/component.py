"""The chain as a component of Dagster, for code locations of other projects."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from distill_pipeline.chain.home import Home
from distill_pipeline.defs.building import definitions_of
from distill_pipeline.defs.resources import DistillHome, load_partitions


class DistillationComponent(dg.Component, dg.Model, dg.Resolvable):
    """Distils Sentence Transformers into static models: assets from a recipe's vocabulary to its release.

    `static_model` and `hub_release` are what other assets depend on; their partitions are the recipes. Several
    components in one project need different key prefixes.
    """

    home: str = Field(
        ".distill", description="Folder of recipes, stage outputs and releases; a relative one counts from the project."
    )
    recipes: list[str] = Field(
        default_factory=list, description="Names of recipes, or of sweeps, to distil. Empty: all that the home holds."
    )
    key_prefix: list[str] | str = Field(
        default_factory=list, description="What the assets' keys begin with, and the names of jobs and sensors."
    )
    group: str = Field("distillation", description="Group of the assets.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions over the home.

        Raises:
            RecipeError: There is no recipe of a name, or its file's content is wrong.
        """
        home = Home((context.project_root / Path(self.home).expanduser()).resolve())
        if self.recipes:
            names = sorted(recipe.name for recipe in home.recipes_named(self.recipes))
            partitions = dg.StaticPartitionsDefinition(names)
        else:
            partitions = load_partitions(home)
        prefix = self.key_prefix.split("/") if isinstance(self.key_prefix, str) else self.key_prefix
        return definitions_of(DistillHome(home, partitions, tuple(filter(None, prefix)), self.group))

"""The home that a set of definitions is about, and what Dagster calls its assets and jobs.

It is bound to the functions when they become definitions, and is no resource of Dagster's: whoever may launch a run
could otherwise lead it to another folder's recipes and their code.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

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
    """This installation's folders, recipes and teachers, as the assets ask for them.

    Attributes:
        home: The folders.
        partitions: The recipes, which existed when the code location was loaded.
        key_prefix: What the assets' keys begin with, and the names of jobs, schedules and sensors.
        group: The assets' group.
    """

    home: Home
    partitions: dg.StaticPartitionsDefinition
    key_prefix: tuple[str, ...] = ()
    group: str = "distillation"

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

    def recipes(self) -> list[Recipe]:
        """Return those of `partitions` that are valid now."""
        names = set(self.partitions.get_partition_keys())
        return [recipe for name, recipe in self.home.load_recipes()[0].items() if name in names]

    def teacher(self, recipe: Recipe) -> TeacherSource:
        """Return the recipe's teacher. Raises `TeacherError`."""
        return find_teacher(self.home, recipe)

    def stage_keys(self, recipe: Recipe) -> Mapping[str, StageKey]:
        """Return the key of each stage of this recipe."""
        return stage_keys(recipe, self.teacher(recipe).identity)

    def key(self, asset: str) -> dg.AssetKey:
        """Return the key of an asset of this name."""
        return dg.AssetKey([*self.key_prefix, asset])

    def name(self, plain: str) -> str:
        """Return the name of a job, schedule or sensor."""
        return "_".join((*self.key_prefix, plain))

    def op(self, asset: str) -> str:
        """Return the name of an asset's op, under which a launch configures it."""
        return "__".join((*self.key_prefix, asset))


def load_partitions(home: Home) -> dg.StaticPartitionsDefinition:
    """Return one partition per valid recipe, and log a warning for each invalid one."""
    recipes, problems = home.load_recipes()
    for problem in problems:
        dg.get_dagster_logger("distill_pipeline").warning(f"left out: {problem}")
    return dg.StaticPartitionsDefinition(sorted(recipes))


def bound(function: Callable[..., Any], home: DistillHome) -> Callable[..., Any]:
    """Return a function without its parameter `distill_home`, as Dagster may call it."""

    def call(*arguments: Any, **named: Any) -> Any:
        return function(*arguments, distill_home=home, **named)

    def generate(*arguments: Any, **named: Any) -> Any:
        yield from function(*arguments, distill_home=home, **named)

    made: Any = generate if inspect.isgeneratorfunction(function) else call
    signature = inspect.signature(function)
    seen = [parameter for name, parameter in signature.parameters.items() if name != "distill_home"]
    made.__signature__ = signature.replace(parameters=seen)
    made.__annotations__ = {name: kind for name, kind in function.__annotations__.items() if name != "distill_home"}
    made.__name__, made.__doc__, made.__module__ = function.__name__, function.__doc__, function.__module__
    return cast(Callable[..., Any], made)

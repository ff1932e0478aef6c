"""Sweeps: one recipe file that stands for many recipes, one for each combination of the swept fields' values.

A member is an ordinary recipe everywhere: a partition, a plan, a run. Knows nothing of stages, stores or Dagster.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distill_pipeline.errors import RecipeError, did_you_mean
from distill_pipeline.recipe.fields import MAX_NAME_LENGTH
from distill_pipeline.recipe.reading import SWEEP, make_recipe, refuse_access_tokens
from distill_pipeline.recipe.recipe import Recipe

MAX_MEMBERS = 64
"""Each member is a partition that everybody sees; a wider search belongs in several files, one after another."""

_FIELDS = [name for name in (*Recipe.model_fields, "preset") if name != "name"]
_SHORT = {"pca_dims": "dims"}
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")
_NAMED_IN_FULL = (str, int, float, type(None))

Choice = tuple[str | None, Any]
"""A value of a swept field, and its label when the file gives one."""


def expand(fields: Mapping[str, Any], path: Path) -> dict[str, Recipe]:
    """Return the members of a sweep by name, in the order of the file's values.

    A member is called `NAME.dims-128.weighting-zipf`: the swept fields in the file's order, with their values, or
    with their labels alone where the file gives labels. So a name changes only when its own values do.

    Args:
        fields: The file's content, with `sweep`: a mapping of fields to their values, or a list of such mappings,
            which are expanded one after another.
        path: The file; its stem is the sweep's name, and relative paths in it count from its folder.

    Raises:
        RecipeError: A field is unknown or both set and swept; a value can't be followed; there are no members, too
            many, two alike, or two that would be released over each other.
    """
    refuse_access_tokens(fields, str(path))
    base = {field: value for field, value in fields.items() if field not in {SWEEP, "name"}}
    grids = [_grid(grid, base, path) for grid in _grids(fields[SWEEP], path)]
    count = sum(math.prod(map(len, grid.values())) for grid in grids)
    if count > MAX_MEMBERS:
        raise RecipeError(f"{path}: the sweep has {count:,} recipes; at most {MAX_MEMBERS} are allowed")
    members: dict[str, Recipe] = {}
    for grid in grids:
        for choice in _choices(grid):
            member = _member(base, choice, path)
            if member.name in members:
                raise RecipeError(f"{path}: two recipes of the sweep would be called {member.name!r}; give labels")
            members[member.name] = member
    _refuse_equals(members, path)
    return members


def _grids(sweep: object, path: Path) -> list[Mapping[str, Any]]:
    grids: list[Any] = sweep if isinstance(sweep, list) else [sweep]
    if not grids or not all(isinstance(grid, dict) and grid for grid in grids):
        raise RecipeError(f"{path}: {SWEEP} is a mapping such as 'pca_dims: [64, 128]', or a list of such mappings")
    return grids


def _grid(grid: Mapping[str, Any], base: Mapping[str, Any], path: Path) -> dict[str, list[Choice]]:
    found: dict[str, list[Choice]] = {}
    for field, values in grid.items():
        if field not in _FIELDS:
            raise RecipeError(f"{path}: {SWEEP} has the unknown field {field!r}{did_you_mean(str(field), _FIELDS)}")
        if field in base:
            raise RecipeError(f"{path}: {field} is both set and swept; keep one of them")
        if not isinstance(values, list | dict) or not values:
            raise RecipeError(
                f"{path}: {SWEEP}.{field}={values!r}: give a list of values, or a mapping of labels to values"
            )
        found[field] = _labelled(field, values, path) if isinstance(values, dict) else [(None, v) for v in values]
    return found


def _labelled(field: str, values: Mapping[Any, Any], path: Path) -> list[Choice]:
    for label in values:
        if not _LABEL.fullmatch(str(label)):
            raise RecipeError(f"{path}: {SWEEP}.{field}: the label {label!r} may have a-z, 0-9, '_' and '-' alone")
    return [(str(label), value) for label, value in values.items()]


def _choices(grid: Mapping[str, list[Choice]]) -> Iterator[dict[str, Choice]]:
    for combination in itertools.product(*grid.values()):
        yield dict(zip(grid, combination, strict=True))


def _member(base: Mapping[str, Any], choice: Mapping[str, Choice], path: Path) -> Recipe:
    parts = [_part(field, *labelled, path) for field, labelled in choice.items()]
    name = ".".join([path.stem, *parts])
    values = {field: value for field, (_, value) in choice.items()}
    if len(name) > MAX_NAME_LENGTH:
        raise RecipeError(
            f"{path}: the name {name!r} has {len(name)} letters; at most {MAX_NAME_LENGTH} are allowed: shorten the "
            "file's name, or give values short labels"
        )
    return make_recipe({**base, **values, "name": name}, source=f"{path}, {name}", base=path.parent)


def _part(field: str, label: str | None, value: object, path: Path) -> str:
    """Return what stands for one field's value in a member's name."""
    if label is not None:
        return label
    if not isinstance(value, _NAMED_IN_FULL):
        raise RecipeError(
            f"{path}: {SWEEP}.{field}: {value!r} needs a label, as in '{field}: {{short: [...], long: [...]}}'"
        )
    text = str(value).lower().rstrip("/").rsplit("/", 1)[-1]
    return f"{_SHORT.get(field, field)}-{re.sub(r'[^a-z0-9._]+', '-', text).strip('-._')}"


def _refuse_equals(members: Mapping[str, Recipe], path: Path) -> None:
    """Two members that are the same recipe, or that one release would overwrite, are a mistake in the file."""
    seen: dict[str, str] = {}
    places: dict[tuple[str, str | None], str] = {}
    for name, recipe in members.items():
        same = seen.setdefault(recipe.model_dump_json(exclude={"name"}), name)
        if same != name:
            raise RecipeError(f"{path}: {same!r} and {name!r} are the same recipe; leave one value out")
        if recipe.repository:
            place = places.setdefault((recipe.repository, recipe.branch), name)
            if place != name:
                raise RecipeError(
                    f"{path}: {place!r} and {name!r} would both be released to {recipe.repository}; leave out "
                    "repository, or sweep it or the branch"
                )

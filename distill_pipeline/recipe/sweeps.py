"""Sweeps: a recipe file that stands for many recipes, one per combination of the swept fields' values.

A member is an ordinary recipe everywhere: a partition, a plan, a run. Knows nothing of stages, stores or Dagster.
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distill_pipeline.errors import RecipeError, did_you_mean
from distill_pipeline.recipe.fields import MAX_NAME_LENGTH, is_none
from distill_pipeline.recipe.reading import SWEEP, make_recipe, refuse_access_tokens
from distill_pipeline.recipe.recipe import Recipe

MAX_MEMBERS = 64
"""Each member is a partition that everyone sees; a wider search belongs in several files."""

_FIELDS = [name for name in (*Recipe.model_fields, "preset") if name != "name"]
_SHORT = {"pca_dims": "dims"}
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?")

Choice = tuple[str, Any]
"""A value of a swept field, after its part of the member's name."""


def expand(fields: Mapping[str, Any], path: Path) -> dict[str, Recipe]:
    """Return the members of a sweep by name, in the order of the file's values.

    A member's name is `NAME.dims-128.weighting-zipf`: the swept fields in the file's order with their values, or only
    their labels where the file gives labels. So a name changes only when the member's own values do.

    Args:
        fields: The file's content, with `sweep`: a mapping of fields to their values, or a list of such mappings,
            which are expanded one after another.
        path: The file; its stem is the sweep's name, and relative paths in it count from its folder.

    Raises:
        RecipeError: A field is unknown or both set and swept; a value is invalid; there are no members or too many;
            two members are equal or would be released over each other.
    """
    refuse_access_tokens(fields, str(path))
    base = {field: value for field, value in fields.items() if field not in {SWEEP, "name"}}
    grids: list[Any] = fields[SWEEP] if isinstance(fields[SWEEP], list) else [fields[SWEEP]]
    if not grids or not all(isinstance(grid, dict) and grid for grid in grids):
        raise RecipeError(f"{path}: {SWEEP} is a mapping such as 'pca_dims: [64, 128]', or a list of such mappings")
    grids = [{field: _choices(field, values, base, path) for field, values in grid.items()} for grid in grids]
    count = sum(math.prod(map(len, grid.values())) for grid in grids)
    if count > MAX_MEMBERS:
        raise RecipeError(f"{path}: the sweep has {count:,} recipes; at most {MAX_MEMBERS} are allowed")
    members: dict[str, Recipe] = {}
    for name, values in _combinations(grids, path):
        if name in members:
            raise RecipeError(f"{path}: two recipes of the sweep would be called {name!r}; give labels")
        members[name] = make_recipe({**base, **values, "name": name}, source=f"{path}, {name}", base=path.parent)
    _refuse_duplicates(members, path)
    return members


def _choices(field: str, values: object, base: Mapping[str, Any], path: Path) -> list[Choice]:
    """Return the choices of one swept field."""
    if field not in _FIELDS:
        raise RecipeError(f"{path}: {SWEEP} has the unknown field {field!r}{did_you_mean(str(field), _FIELDS)}")
    if field in base:
        raise RecipeError(f"{path}: {field} is both set and swept; keep one of them")
    if not isinstance(values, list | dict) or not values:
        wanted = "give a list of values, or a mapping of labels to values"
        raise RecipeError(f"{path}: {SWEEP}.{field}={values}: {wanted}")
    if isinstance(values, list):
        return [(_name_part(field, value, path), value) for value in values]
    for label in values:
        if not _LABEL.fullmatch(str(label)):
            raise RecipeError(f"{path}: {SWEEP}.{field}: the label {label!r} may have only a-z, 0-9, '_' and '-'")
    return [(str(label), value) for label, value in values.items()]


def _name_part(field: str, value: object, path: Path) -> str:
    """Return what stands for a value without a label in a member's name."""
    if isinstance(value, str | int | float | None):
        text = "none" if is_none(value) else str(value).lower().rstrip("/").rsplit("/", 1)[-1]
        return f"{_SHORT.get(field, field)}-{re.sub(r'[^a-z0-9._]+', '-', text).strip('-._')}"
    example = f"{field}: {{short: [...], long: [...]}}"
    raise RecipeError(f"{path}: {SWEEP}.{field}: {value!r} needs a label, as in '{example}'")


def _combinations(grids: list[dict[str, list[Choice]]], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each member's name and its values of the swept fields."""
    for grid in grids:
        for choices in itertools.product(*grid.values()):
            name = ".".join([path.stem, *(part for part, _ in choices)])
            if len(name) > MAX_NAME_LENGTH:
                raise RecipeError(
                    f"{path}: the name {name!r} has {len(name)} letters; at most {MAX_NAME_LENGTH} are allowed: "
                    "shorten the file's name, or give values short labels"
                )
            yield name, dict(zip(grid, (value for _, value in choices), strict=True))


def _refuse_duplicates(members: Mapping[str, Recipe], path: Path) -> None:
    """Refuse two members that are the same recipe, or that would be released to the same place."""
    names: dict[object, str] = {}
    for name, recipe in members.items():
        same = names.setdefault(recipe.model_dump_json(exclude={"name"}), name)
        if same != name:
            raise RecipeError(f"{path}: {same!r} and {name!r} are the same recipe; leave one value out")
        place = names.setdefault((recipe.repository, recipe.branch), name) if recipe.repository else name
        if place != name:
            raise RecipeError(
                f"{path}: {place!r} and {name!r} would both be released to {recipe.repository}; leave out repository, "
                "or sweep it or the branch"
            )

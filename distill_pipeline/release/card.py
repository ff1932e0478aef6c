"""The model card: what the student is, how it was made, and what it lost against its teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from rich.filesize import decimal

from distill_pipeline.figures.captions import caption_of
from distill_pipeline.recipe.reading import recipe_yaml
from distill_pipeline.recipe.recipe import RELEASE_FIELDS, Recipe
from distill_pipeline.release.provenance import RUN_BEGINS, RUN_ENDS, SPEEDS, without_paths


@dataclass(frozen=True)
class CardFacts:
    """What the card says besides the recipe.

    Attributes:
        quality: The quality report.
        student: Facts of `static_model`: rows, dimensions, dtype.
        teacher: What pins the teacher's files.
        licence: The card header's licence entries, as the teacher's own card gives them; empty when it has none.
        fingerprints: Each stage's fingerprint.
        run: What `made_by` returns for the stages.
        variants: Each variant's largest distance from the golden vectors.
        figures: Paths of pictures in the release.
        overridden: What the gate found, when a reason overrode it.
        override_reason: That reason.
    """

    quality: Mapping[str, Any]
    student: Mapping[str, Any]
    teacher: Mapping[str, str]
    licence: Mapping[str, str]
    fingerprints: Mapping[str, str]
    run: Mapping[str, Any]
    variants: Mapping[str, float] = field(default_factory=dict)
    figures: Sequence[str] = ()
    overridden: Sequence[str] = ()
    override_reason: str = ""


def model_card(recipe: Recipe, facts: CardFacts) -> str:
    """Return the card as Markdown with the Hub's YAML header. Equal inputs give equal text."""
    name, quality, student = recipe.repository or recipe.name, facts.quality, facts.student
    place = recipe.repository or f"path/to/{recipe.name}"
    examples = [(e["text"], e["teacher"], e["student"]) for e in quality["examples"]]
    pinned = ", ".join(f"{key} `{value}`" for key, value in facts.teacher.items())
    return f"""---
{_header(recipe, facts)}
---

# {name.rsplit("/", maxsplit=1)[-1]}

A static embedding model, distilled from `{recipe.teacher_label}` ({pinned}): one vector of
{student["dimensions"]} numbers ({student["dtype"]}) for each of {student["rows"]:,} vocabulary entries; the mean of
a text's vectors is its embedding. It needs no GPU.
{_override(facts)}
```python
from model2vec import StaticModel

model = StaticModel.from_pretrained("{place}")
embeddings = model.encode(["A static model needs no GPU."])
```

It loads in `sentence_transformers` as well: `SentenceTransformer("{place}")`.
{_variants(facts)}
## What it lost against its teacher

Measured on {quality["texts"]} {quality["texts_are"]}, without labels.

{_figures(quality)}

{markdown_table(["text", "nearest for the teacher", "nearest for the student"], examples)}
{_words(quality)}{_pictures(facts, of_making=False)}
## How it was made

```yaml
{recipe_yaml(without_paths(recipe), exclude=RELEASE_FIELDS).strip()}
```
{_pictures(facts, of_making=True)}

The teacher's licence: {facts.licence.get("license", "not stated by its card")}. `golden.parquet` holds texts and the
vectors that every runtime must give for them; `provenance.json` holds the sha256 of each file, and
`distill-pipeline verify {name}` checks both.

{markdown_table(["stage", "fingerprint"], [(stage, f"`{value}`") for stage, value in facts.fingerprints.items()])}

{RUN_BEGINS}
{_run_table(facts.run)}
{RUN_ENDS}
"""


def _header(recipe: Recipe, facts: CardFacts) -> str:
    """Return the Hub's metadata as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    metrics = (
        ("spearman", "Correlation of similarities with the teacher's", "similarity_correlation"),
        ("neighbour_overlap", "Share of the teacher's 10 nearest texts", "neighbour_overlap"),
        ("mrr", "Mean reciprocal rank of the teacher's nearest text", "nearest_retrieved"),
    )
    results = [
        EvalResult(
            task_type="sentence-similarity",
            task_name="Agreement with the teacher",
            dataset_type="distill-pipeline-evaluation-texts",
            dataset_name=f"{facts.quality['texts']} {facts.quality['texts_are']}",
            metric_type=kind,
            metric_name=label,
            metric_value=facts.quality[figure],
        )
        for kind, label, figure in metrics
    ]
    header = ModelCardData(
        license=facts.licence.get("license"),
        license_name=facts.licence.get("license_name"),
        license_link=facts.licence.get("license_link"),
        library_name="model2vec",
        pipeline_tag="sentence-similarity",
        tags=[
            *("embeddings", "static-embeddings", "sentence-transformers", "feature-extraction"),
            *("model2vec", "distill-pipeline"),
        ],
        # No base_model_relation: a distilled static model is neither of those that the Hub knows.
        base_model=recipe.teacher_label if "/" in recipe.teacher_label else None,
        model_name=(recipe.repository or recipe.name).rsplit("/", maxsplit=1)[-1],
        eval_results=results,
    )
    return header.to_yaml()


def _override(facts: CardFacts) -> str:
    if not facts.overridden:
        return ""
    return f"\n> **Released against the gate.** {'; '.join(facts.overridden)}.\n> Reason: {facts.override_reason}\n"


def _variants(facts: CardFacts) -> str:
    if not facts.variants:
        return ""
    rows = [(f"`{name}/`", f"{distance:.2g}") for name, distance in facts.variants.items()]
    table = markdown_table(["variant", "largest distance (1 - cosine) from a golden vector"], rows)
    return f"\n{table}\n\nA variant loads with `subfolder=`, and `onnx/` in any ONNX runtime.\n"


def _figures(quality: Mapping[str, Any]) -> str:
    """Return the table of figures, with a column for model2vec.distill's student if that was measured."""
    plain = quality.get("model2vec") or {}
    rows: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("Correlation of similarities with the teacher's", lambda q: f"{q['similarity_correlation']:.3f}"),
        ("Teacher's 10 nearest texts that are among the student's 10", lambda q: f"{q['neighbour_overlap']:.1%}"),
        ("Mean reciprocal rank of the teacher's nearest text", lambda q: f"{q['nearest_retrieved']:.3f}"),
    ]
    rows += [
        (f"{e['set']} ({e['kind']}), teacher {e['teacher']:.3f}", partial(_score_of, number))
        for number, e in enumerate(quality.get("labelled_sets", ()))
    ]
    rows.append(("Weights of the student", lambda q: decimal(q["student_bytes"])))
    header = ["figure", "value", *(["`model2vec.distill`, same dimensions"] if plain else [])]
    cells = [(label, *(figure(side) for side in (quality, plain) if side)) for label, figure in rows]
    cells.append(("Weights of the teacher", decimal(quality["teacher_bytes"]), *([""] if plain else [])))
    return markdown_table(header, cells)


def _score_of(number: int, quality: Mapping[str, Any]) -> str:
    return f"{quality['labelled_sets'][number]['student']:.3f}"


def _words(quality: Mapping[str, Any]) -> str:
    examples = quality.get("word_examples", ())
    return f"\n{word_table(examples)}\n" if examples else ""


def word_table(examples: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown table of words with their nearest words by teacher and by student."""
    rows = [(e["word"], ", ".join(e["teacher"]), ", ".join(e["student"])) for e in examples]
    return markdown_table(["word", "teacher's nearest", "student's nearest"], rows)


def _pictures(facts: CardFacts, *, of_making: bool) -> str:
    lines = []
    for path in facts.figures:
        caption = caption_of(PurePosixPath(path).stem)
        if caption.of_making == of_making:
            lines.append(f"\n![{caption.alt}]({path})\n" + (f"\n{caption.says}\n" if caption.says else ""))
    return "".join(lines)


def _run_table(run: Mapping[str, Any]) -> str:
    """Return the table of the runs that made the stages, which is no part of the release's content."""
    rows = [
        (
            stage,
            f"{made['seconds']:.2f}",
            made["made_at"],
            f"`{made['run_id'] or 'unknown'}`",
            made["machine"] or "unknown",
        )
        for stage, made in run.items()
    ]
    versions = {name: version for made in run.values() for name, version in made["versions"].items()}
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    table = markdown_table(["stage", "seconds", "made at", "run", "machine"], rows)
    speeds = [
        f"{made[speed]:,} texts/s ({speed.partition('_')[0]})"
        for made in run.values()
        for speed in SPEEDS
        if speed in made
    ]
    fast = f"\n\nEncoded when the report was made: {', '.join(speeds)}." if speeds else ""
    return f"{table}{fast}\n\nLibraries: {listed}."


def markdown_table(header: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Return a Markdown table; pipes in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)

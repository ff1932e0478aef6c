"""The model card: what the student is, how it was made, and what it lost against its teacher."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from rich.filesize import decimal

from distill_pipeline.figures.captions import caption_of
from distill_pipeline.fitting.projection import PROJECTION
from distill_pipeline.quality.measures import cuts_table, sets_table
from distill_pipeline.recipe.choices import DICTIONARY_KINDS
from distill_pipeline.recipe.reading import recipe_yaml
from distill_pipeline.recipe.recipe import RELEASE_FIELDS, Recipe
from distill_pipeline.release.eval_results import mteb_entries
from distill_pipeline.release.ingredients import SPEEDS, Ingredients, licence_text
from distill_pipeline.release.provenance import RUN_BEGINS, RUN_ENDS, TAG, without_paths
from distill_pipeline.release.snippets import snippets
from distill_pipeline.store.disk import sha256_of
from distill_pipeline.texts.dictionary import LICENCE

_TAGS = ("embeddings", "static-embeddings", "sentence-transformers", "feature-extraction", "model2vec")


def model_card(
    ingredients: Ingredients,
    quality: Mapping[str, Any],
    *,
    variants: Mapping[str, float],
    figures: Sequence[str],
    overridden: Sequence[str] = (),
    override_reason: str = "",
) -> str:
    """Return the card as Markdown with the Hub's YAML header. Equal inputs give equal text.

    `variants` are what `check_variant` returns, `figures` paths within the release,
    `overridden` is what the gate found.
    """
    recipe, student = ingredients.recipe, ingredients.model.facts
    name = recipe.repository or recipe.name
    place = recipe.repository or f"path/to/{recipe.name}"
    fingerprints = [(stage, f"`{value}`") for stage, value in ingredients.fingerprints.items()]
    pinned = ", ".join(f"{key} `{value}`" for key, value in ingredients.teacher.items())
    unstated = "unknown, since its card couldn't be had" if ingredients.licence is None else "not stated by its card"
    words = f"\n{word_table(quality['word_examples'])}\n" if quality.get("word_examples") else ""
    nearest = text_table(quality["examples"], "nearest for the teacher", "nearest for the student")
    texts = f"\n{nearest}\n" if quality["examples"] else ""
    return f"""---
{_header(ingredients, quality)}
---

# {name.rsplit("/", maxsplit=1)[-1]}

A static embedding model, distilled from `{recipe.teacher_label}` ({pinned}): one vector of
{student["dimensions"]} numbers ({student["dtype"]}) for each of {student["rows"]:,} vocabulary entries; the mean of
a text's vectors is its embedding. It needs no GPU.
{_prompts_note(ingredients)}{_override_note(overridden, override_reason)}
```python
from model2vec import StaticModel

model = StaticModel.from_pretrained("{place}")
embeddings = model.encode(["A static model needs no GPU."])
```

{_variants_note(variants)}
## What it lost against its teacher

Measured on {quality["texts"]} {quality["texts_are"]}, without labels.

{_figures_table(quality)}

{scores_text(recipe.language, quality)}
{texts}{words}{_pictures(figures, of_making=False)}
{_smaller(ingredients, quality, place)}{_beside_the_teacher(ingredients, place)}## In other runtimes

`texts` is a list of texts, `query` is one.
{_snippets(ingredients, place)}
## How it was made

```yaml
{recipe_yaml(without_paths(recipe), exclude=RELEASE_FIELDS).strip()}
```
{_pictures(figures, of_making=True)}
{_accents_note(student["accents"])}{_dictionary_note(recipe)}
The teacher's licence: {licence_text(ingredients) or unstated}. `golden.parquet` holds texts and the
vectors that every runtime must give for them; `provenance.json` holds the sha256 of each file, and
`distill-pipeline verify {name}` checks both.

{markdown_table(["stage", "fingerprint"], fingerprints)}

{RUN_BEGINS}
{_run_table(ingredients.run)}
{RUN_ENDS}
"""


def _header(ingredients: Ingredients, quality: Mapping[str, Any]) -> str:
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
            dataset_name=f"{quality['texts']} {quality['texts_are']}",
            metric_type=kind,
            metric_name=label,
            metric_value=quality[figure],
        )
        for kind, label, figure in metrics
    ]
    recipe, licence, mteb = ingredients.recipe, ingredients.licence or {}, mteb_entries(quality)
    header = ModelCardData(
        license=licence.get("license"),
        license_name=licence.get("license_name"),
        license_link=licence.get("license_link"),
        library_name="model2vec",
        pipeline_tag="sentence-similarity",
        language=recipe.language.partition("-")[0] if mteb else None,
        tags=[*_TAGS, TAG, *(["mteb"] if mteb else [])],
        # No base_model_relation: none of the relations that the Hub knows fits a distilled static model.
        base_model=recipe.teacher_label if "/" in recipe.teacher_label else None,
        model_name=(recipe.repository or recipe.name).rsplit("/", maxsplit=1)[-1],
        eval_results=results,
    )
    return header.to_yaml()


def _prompts_note(ingredients: Ingredients) -> str:
    if not ingredients.prompts:
        return ""
    prompt = ingredients.recipe.prompt
    used = f"{prompt!r} was put before each text" if prompt else "none was used"
    return f"\nThe teacher names prompts, {ingredients.prompts}; for this student {used}.\n"


def _accents_note(accents: str) -> str:
    return f"\nIn texts and vocabulary, {accents}.\n" if accents else ""


def _override_note(overridden: Sequence[str], reason: str) -> str:
    return f"\n> **Released against the gate.** {'; '.join(overridden)}.\n> Reason: {reason}\n" if overridden else ""


def _dictionary_note(recipe: Recipe) -> str:
    """Return what the licence of the dictionary asks to be said of what was made with it."""
    return f"\nThe rows were fitted to definitions and examples too. {LICENCE}\n" if recipe.uses_dictionary else ""


def _variants_note(variants: Mapping[str, float]) -> str:
    if not variants:
        return ""
    rows = [(f"`{name}`", f"{distance:.2g}") for name, distance in variants.items()]
    table = markdown_table(["variant", "largest distance (1 - cosine) from a golden vector"], rows)
    return f"\n{table}\n\nA variant loads with `subfolder=`; the ONNX files use the tokenizer in the root.\n"


def _beside_the_teacher(ingredients: Ingredients, place: str) -> str:
    """Return how static queries search the teacher's documents; nothing where no map was fitted."""
    student = ingredients.model
    if student.facts["space"] == "teacher":
        return """## With the teacher's documents

The vectors lie in the teacher's space: an index of the vectors that the teacher made is searched as it is, by dot
product. Another student of this teacher needs no change to the index.

"""
    if not (student.folder / PROJECTION).is_file():
        return ""
    found = (
        f'hf_hub_download("{place}", "{PROJECTION}")' if ingredients.recipe.repository else f'"{place}/{PROJECTION}"'
    )
    imported = "from huggingface_hub import hf_hub_download\n" if ingredients.recipe.repository else ""
    return f"""## With the teacher's documents

Queries of this student search documents that the teacher encoded, once those are projected. The scores are dot
products; don't normalise what was projected. Documents that another projection made, of another sha256 than
`{sha256_of(student.folder / PROJECTION)}`, are projected again from the teacher's vectors.

```python
{imported}from safetensors.numpy import load_file

projection = load_file({found})
documents = teacher_vectors @ projection["weights"] + projection["bias"]  # of the teacher's vectors, at unit length
scores = model.encode("a query") @ documents.T
```

"""


def _snippets(ingredients: Ingredients, place: str) -> str:
    recipe = ingredients.recipe
    facts = ingredients.model.facts
    found = snippets(
        place, facts["dimensions"], facts["dtype"], on_hub=recipe.repository is not None, variants=recipe.variants
    )
    return "".join(
        f"\n### {snippet.runtime}\n\n```{snippet.language}\n{snippet.code}```\n"
        + (f"\n{snippet.note}\n" if snippet.note else "")
        for snippet in found
    )


def _figures_table(quality: Mapping[str, Any]) -> str:
    """Return the table of figures, with a column for model2vec.distill's student if that was measured."""
    sides = [side for side in (quality, quality.get("model2vec")) if side]
    measures = (
        ("Correlation of similarities with the teacher's", "similarity_correlation", ".3f"),
        ("Teacher's 10 nearest texts that are among the student's 10", "neighbour_overlap", ".1%"),
        ("Mean reciprocal rank of the teacher's nearest text", "nearest_retrieved", ".3f"),
    )
    rows = [(label, *(format(side[figure], style) for side in sides)) for label, figure, style in measures]
    if mixed := quality.get("teacher_documents"):
        label = "The same, found by static queries among the teacher's vectors"
        rows.insert(2, (label, f"{mixed['documents_shared']:.1%}", *("" for _ in sides[1:])))
    rows.append(("Weights of the student", *(decimal(side["student_bytes"]) for side in sides)))
    rows.append(("Weights of the teacher", decimal(quality["teacher_bytes"]), *("" for _ in sides[1:])))
    return markdown_table(["figure", "value", *("`model2vec.distill`, same dimensions" for _ in sides[1:])], rows)


def scores_text(language: str, quality: Mapping[str, Any]) -> str:
    """Return the table of scores on labelled sets and what they are, or that there are none and what isn't known."""
    entries = quality.get("labelled_sets", ())
    if not entries:
        return f"No task with labels ({language}): agreement doesn't tell what a search or a classifier would lose."
    own = {entry["kind"] for entry in entries} & DICTIONARY_KINDS.keys()
    what = "\n".join(f"- {kind}: {score}" for kind, score in DICTIONARY_KINDS.items() if kind in own)
    if own:
        what = f"\n\nWordNet's tasks are on synsets that no student is fitted to:\n\n{what}"
    return f"Scores on tasks with labels, ± their standard errors:\n\n{markdown_table(*sets_table(quality))}{what}"


def _smaller(ingredients: Ingredients, quality: Mapping[str, Any], place: str) -> str:
    """Return the table of the student's size and quality with fewer of its dimensions."""
    if not ingredients.cuts:
        return ""
    student = ingredients.model.facts
    table = markdown_table(*cuts_table(student["rows"], student["dimensions"], quality, ingredients.cuts))
    fewer = f'StaticModel.from_pretrained("{place}", dimensionality={ingredients.cuts[0]["dimensions"]})'
    return f"""## Smaller

`{fewer}` reads the leading dimensions alone. Sizes are of the weights; int8 changes the figures by 0.003 at most where
that was measured. The recipe's `variants` put either into the release.

{table}

"""


def text_table(examples: Sequence[Mapping[str, Any]], teacher_title: str, student_title: str) -> str:
    """Return the Markdown table of texts with the nearest text by teacher and by student."""
    rows = [(e["text"], e["teacher"], e["student"]) for e in examples]
    return markdown_table(["text", teacher_title, student_title], rows)


def word_table(examples: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown table of words with their nearest words by teacher and by student."""
    rows = [(e["word"], ", ".join(e["teacher"]), ", ".join(e["student"])) for e in examples]
    return markdown_table(["word", "teacher's nearest", "student's nearest"], rows)


def _pictures(figures: Sequence[str], *, of_making: bool) -> str:
    captions = [(path, caption_of(PurePosixPath(path).stem)) for path in figures]
    return "".join(
        f"\n![{caption.alt}]({path})\n" + (f"\n{caption.explanation}\n" if caption.explanation else "")
        for path, caption in captions
        if caption.of_making == of_making
    )


def _run_table(run: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of the runs that made the stages, which is not part of the release's content."""
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
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    table = markdown_table(["stage", "seconds", "made at", "run", "machine"], rows)
    speeds = "".join(f"\n\n{speeds_text(made)}." for made in run.values() if SPEEDS[0] in made)
    return f"{table}{speeds}\n\nLibraries: {libraries}."


def speeds_text(measured: Mapping[str, Any]) -> str:
    """Return how many texts a second student and teacher encoded, and on what, from the quality report's facts."""
    student, student_on, teacher, teacher_on = (measured[name] for name in SPEEDS)
    return f"The same texts: student {student:,} texts/s on {student_on}; teacher {teacher:,} texts/s on {teacher_on}"


def markdown_table(header: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Return a Markdown table; pipes in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)

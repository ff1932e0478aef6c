"""A tiny student with its evidence, made without a teacher, for tests of releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.ingredients import Ingredients
from distill_pipeline.release.release import prepare, release
from distill_pipeline.store.disk import write_json
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.output import Output
from distill_pipeline.student.files import REPORT, model_digest
from distill_pipeline.student.folder import write_student

WORDS = ("[UNK]", "the", "owl", "hunts", "mice", "at", "night", "shares", "fell", "sharply")
TEXTS = ("the owl hunts mice at night", "shares fell sharply", "owl")


def make_ingredients(root: Path, seed: int = 0, **fields: Any) -> Ingredients:
    """Write a student of ten words and a report about it below `root`.

    Args:
        root: An empty folder.
        seed: Another seed gives another student.
        fields: Of the recipe; `run_id`, `correlation`, `texts` and `scored` are the report's and the run's instead.
    """
    run_id = fields.pop("run_id", "run-1")
    figures = {"similarity_correlation": fields.pop("correlation", 0.8), "texts": fields.pop("texts", 3)}
    figures["texts_sha256"] = str(figures["texts"])
    labelled_sets = fields.pop("scored", ())
    fields = {"name": "tiny", "teacher": "MINILM_EMBEDDED", "repository": "me/tiny", **fields}
    recipe: Recipe = make_recipe(fields, source="test")
    model, quality = root / "model", root / "quality"
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    rows = np.random.default_rng(seed).normal(size=(len(WORDS), 12)).astype(np.float32)
    model.mkdir(parents=True)
    facts = write_student(model, tokenizer, rows, dtype=recipe.dtype, config={}, texts=TEXTS)
    facts["space"] = recipe.space
    facts["accents"] = "accents are folded: 12 words share an entry with a word of other accents"
    quality.mkdir()
    report = {
        **{"neighbour_overlap": 0.7, "nearest_retrieved": 0.6, **figures},
        "texts_are": "sentences of a test",
        "examples": [{"text": "owl", "teacher": "mice", "student": "night"}],
        "labelled_sets": labelled_sets,
        "model_digest": model_digest(model),
        "student_bytes": 1000,
        "teacher_bytes": 2000,
    }
    write_json(quality / REPORT, report)
    made = {
        "run_id": run_id,
        "machine": "a test",
        "made_at": f"made in {run_id}",
        "seconds": 1.5,
        "versions": {"a": "1"},
    }
    keys = {stage: StageKey(stage, stage[0] * 64, {}) for stage in ("static_model", "quality_report")}
    return Ingredients(
        recipe,
        Output(keys["static_model"], model, {**made, "facts": facts}),
        Output(keys["quality_report"], quality, {**made, "facts": {}}),
        dict.fromkeys(keys, made),
        {stage: key.fingerprint for stage, key in keys.items()},
        {"files_sha256": "f" * 64},
        {"license": "apache-2.0"},
    )


def make_release(folder: Path, seed: int = 0, **fields: Any) -> Path:
    """Put a whole release folder together and return it."""
    import json

    ingredients = make_ingredients(folder.with_name(f"{folder.name}-stages"), seed, **fields)
    folder.mkdir(parents=True)
    report = json.loads((ingredients.quality.folder / REPORT).read_text(encoding="utf-8"))
    prepare(folder, ingredients, report, (), "")
    return folder


def go(ingredients: Ingredients, target: Path, reason: str = "") -> list[str]:
    """Release, and return what was told."""
    told: list[str] = []
    release(ingredients, target, override_reason=reason, log=told.append)
    return told

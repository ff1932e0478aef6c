"""The recipe reference says what the recipe's fields say now."""

from __future__ import annotations

import re

from distill_pipeline.cli.reference import TARGET, render
from distill_pipeline.recipe.recipe import Recipe


def test_the_reference_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run make docs"


def test_every_field_is_told_once_under_the_stage_that_a_change_begins_at() -> None:
    text = render().partition("## Labelled sets")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == sorted(set(Recipe.model_fields) - {"name"})
    for field, stage in (
        ("lowercase", "vocabulary"),
        ("max_entries", "vocabulary"),
        ("whitening", "student_matrix"),
        ("corpus_texts", "vocabulary"),
        ("dtype", "static_model"),
        ("tag", "hub_release"),
        ("device", "No stage"),
    ):
        section = text.partition(f"### {stage}\n")[2].partition("\n### ")[0]
        assert f"| `{field}` |" in section
    assert "`auto`, `fitted`" in text

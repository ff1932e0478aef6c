"""The recipe reference says what the recipe's fields say now."""

from __future__ import annotations

from distill_pipeline.cli.reference import TARGET, render
from distill_pipeline.recipe.recipe import Recipe


def test_the_reference_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run make docs"


def test_every_field_is_in_it_with_the_stage_that_a_change_begins_at() -> None:
    fields = render().partition("## Presets")[0]
    rows = {line.split("`")[1]: line for line in fields.splitlines() if line.startswith("| `")}
    assert set(Recipe.model_fields) - {"name"} <= set(rows)
    for field, stage in (
        ("language", "vocabulary"),
        ("whitening", "student_matrix"),
        ("corpus_texts", "vocabulary"),
        ("dtype", "static_model"),
        ("tag", "hub_release"),
    ):
        assert f"| `{stage}` |" in rows[field]
    assert "`auto`, `fitted`" in rows["weighting"]

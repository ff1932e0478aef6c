"""The recipe's release fields: read from YAML and from a command line alike, and refused when they make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from distill_pipeline.chain.stages import STAGES
from distill_pipeline.errors import RecipeError
from distill_pipeline.quality.measures import FLOORS
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import RELEASE_FIELDS, Recipe


def make(**fields: Any) -> Recipe:
    """Make a recipe with these release fields."""
    return make_recipe({"name": "x", "teacher": "MINILM_EMBEDDED", **fields}, source="test")


@pytest.mark.parametrize("written", ["int8,dims-64", "int8, dims-64", ["int8", "dims-64"]])
def test_variants_read_alike_from_a_command_line_and_a_file(written: object) -> None:
    assert make(variants=written).variants == ("int8", "dims-64")
    assert make(variants="none").variants == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pull_request": "true", "tag": "next"}, "a pull request goes to main and gets no tag"),
        ({"pull_request": "true", "branch": "dev"}, "a pull request goes to main and gets no tag"),
        ({"tag": "-x"}, "not a name that git allows"),
        ({"branch": "a..b"}, "not a name that git allows"),
        ({"variants": "int8,int8"}, "named twice"),
        ({"patience_seconds": "-1"}, "patience_seconds='-1'"),
        ({"max_regression": "3"}, "max_regression='3'"),
    ],
)
def test_a_release_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make(**fields)


def test_where_a_student_goes_decides_no_stage_before_the_release() -> None:
    for stage in STAGES.values():
        floors = {f"min_{figure}" for figure in FLOORS}
        read = set(stage.reads(make())) & {*RELEASE_FIELDS, *floors, "variants", "max_regression"}
        assert not read or stage.name == "hub_release"
    assert not any("patience_seconds" in stage.reads(make()) for stage in STAGES.values())

"""Sweeps: one file stands for many recipes with stable names, and a wrong one says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.errors import RecipeError
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.sweeps import MAX_MEMBERS

TEACHER = "teacher: MINILM_EMBEDDED\n"


def write(home: Home, name: str, text: str) -> Path:
    home.recipes.mkdir(parents=True, exist_ok=True)
    path = home.recipes / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_sweep_is_every_combination_under_a_readable_name(home: Home) -> None:
    write(home, "mine", f"{TEACHER}dtype: int8\nsweep:\n  pca_dims: [64, 0.95]\n  refinement: [generated, none]\n")
    recipes, problems = home.load_recipes()
    assert problems == []
    members = {name: recipe for name, recipe in recipes.items() if name.startswith("mine")}
    assert {name: (recipe.pca_dims, recipe.refinement) for name, recipe in members.items()} == {
        "mine.dims-64.refinement-generated": (64, "generated"),
        "mine.dims-64.refinement-none": (64, "none"),
        "mine.dims-0.95.refinement-generated": (0.95, "generated"),
        "mine.dims-0.95.refinement-none": (0.95, "none"),
    }
    assert {recipe.dtype for recipe in members.values()} == {"int8"}
    assert home.sweeps() == {"mine": list(members)}
    assert all(home.recipe(name) == recipe for name, recipe in members.items())


def test_a_longer_list_of_values_renames_no_member(home: Home) -> None:
    write(home, "mine", f"{TEACHER}sweep:\n  pca_dims: [64, 128]\n")
    before = home.sweeps()["mine"]
    write(home, "mine", f"{TEACHER}sweep:\n  pca_dims: [32, 128, 64]\n")
    assert set(before) < set(home.sweeps()["mine"])


def test_labels_stand_for_values_that_are_long_or_no_text(home: Home, tmp_path: Path) -> None:
    text = tmp_path / "texts.txt"
    text.write_text("a text\n")
    write(
        home,
        "mine",
        "refinement: corpus\nsweep:\n  teacher: {small: MINILM_EMBEDDED, base: MODERNBERT_BASE}\n"
        f"  corpus: {{ours: ['{text}']}}\n",
    )
    assert home.sweeps()["mine"] == ["mine.small.ours", "mine.base.ours"]
    assert home.recipe("mine.base.ours").corpus == (str(text),)


def test_a_list_of_grids_leaves_out_what_does_not_go_together(home: Home) -> None:
    write(
        home,
        "mine",
        f"{TEACHER}sweep:\n"
        "  - {refinement: [generated], weighting: [fitted, frequency]}\n"
        "  - {refinement: [none], weighting: [frequency, zipf]}\n",
    )
    assert [name.removeprefix("mine.refinement-") for name in home.sweeps()["mine"]] == [
        "generated.weighting-fitted",
        "generated.weighting-frequency",
        "none.weighting-frequency",
        "none.weighting-zipf",
    ]


def test_a_preset_can_be_swept(home: Home) -> None:
    write(home, "mine", f"{TEACHER}sweep:\n  preset: {{ours: null, model2vec: model2vec}}\n")
    assert [home.recipe(f"mine.{name}").refinement for name in ("ours", "model2vec")] == ["auto", "none"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("pca_dim: [64]", "unknown field 'pca_dim'. Did you mean pca_dims?"),
        ("name: [a, b]", "unknown field 'name'"),
        ("pca_dims: [64, -1]", "pca_dims=-1: use a whole number"),
        ("refinement: [generated, non]", "Did you mean none?"),
        ("weighting: [fitted], refinement: [none]", "weighting=fitted needs the refinement's texts"),
        ("pca_dims: 64", "sweep.pca_dims=64: give a list of values"),
        ("pca_dims: []", "give a list of values"),
        ("teacher: [MINILM_EMBEDDED]", "teacher is both set and swept"),
        ("pca_dims: [64, 64]", "two recipes of the sweep would be called 'mine.dims-64'"),
        ("pca_dims: {a: 64, b: 64}", "'mine.a' and 'mine.b' are the same recipe"),
        ("variants: [[int8], [onnx]]", "needs a label"),
        ("pca_dims: {A.B: 64}", "the label 'A.B'"),
        (f"seed: {list(range(MAX_MEMBERS + 1))}", f"has {MAX_MEMBERS + 1} recipes; at most {MAX_MEMBERS}"),
        (f"seed: {list(range(9999))}, pca_dims: {list(range(1, 9999))}", "recipes; at most"),
        (f"refinement: [none], prompt: [{'a' * 60}]", "give values short labels"),
        ("language: [hf_abcdefghijklmnopqrstuvwxyz]", "what looks like an access token"),
        ("", "sweep is a mapping such as"),
    ],
)
def test_a_wrong_sweep_says_what_is_wrong_and_takes_no_other_file_away(home: Home, content: str, said: str) -> None:
    write(home, "tiny", TEACHER)
    write(home, "mine", f"{TEACHER}sweep: {{{content}}}\n")
    recipes, problems = home.load_recipes()
    assert len(problems) == 1
    assert said in problems[0]
    assert "hf_abc" not in problems[0]
    assert "tiny" in recipes
    assert not any(name.startswith("mine") for name in recipes)
    with pytest.raises(RecipeError):
        home.recipe("mine")


def test_members_that_one_release_would_overwrite_are_refused(home: Home) -> None:
    write(home, "mine", f"{TEACHER}repository: me/x\nsweep: {{pca_dims: [64, 128]}}\n")
    assert "would both be released to me/x" in home.load_recipes()[1][0]
    write(home, "mine", f"{TEACHER}repository: me/x\nsweep: {{branch: [a, b]}}\n")
    assert home.sweeps() == {"mine": ["mine.branch-a", "mine.branch-b"]}


def test_a_member_may_not_have_the_name_of_another_file(home: Home) -> None:
    write(home, "mine", f"{TEACHER}sweep: {{pca_dims: [64, 128]}}\n")
    write(home, "mine.dims-64", TEACHER)
    recipes, problems = home.load_recipes()
    assert "'mine.dims-64' has the name of another file" in problems[0]
    assert "mine.dims-64" in recipes
    assert "mine.dims-128" not in recipes


def test_the_sweep_itself_is_no_recipe_and_says_how_it_runs(home: Home) -> None:
    write(home, "mine", f"{TEACHER}sweep: {{pca_dims: [64, 128]}}\n")
    with pytest.raises(RecipeError, match="distill-pipeline sweep mine"):
        home.recipe("mine")
    with pytest.raises(RecipeError, match=r"Did you mean mine\.dims-64"):
        home.recipe("mine.dims-65")


@pytest.mark.parametrize("name", ["mine", "mine.dims-64"])
def test_a_saved_recipe_overwrites_no_sweep(home: Home, name: str) -> None:
    path = write(home, "mine", f"{TEACHER}sweep: {{pca_dims: [64, 128]}}\n")
    before = path.read_text()
    with pytest.raises(RecipeError, match="belongs to the sweep 'mine'"):
        home.save_recipe(make_recipe({"name": name, "teacher": "MINILM_EMBEDDED"}, source="test"))
    assert path.read_text() == before

"""Recipes: what is refused and how it is said, and that saving loses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from model2vec.distill import distill

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import STAGES, stage_keys
from distill_pipeline.errors import RecipeError
from distill_pipeline.quality.agreement import EvaluationError
from distill_pipeline.recipe.presets import SHIPPED_RECIPES
from distill_pipeline.recipe.reading import make_recipe, read_fields, read_recipe, resolved_fields
from distill_pipeline.recipe.recipe import Recipe

BASE: dict[str, Any] = {"name": "tiny", "teacher": "MODERNBERT_BASE"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"teacher": "MODERNBERT_BAS"}, "Did you mean MODERNBERT_BASE?"),
        ({"pca_dim": 128}, "unknown field 'pca_dim'. Did you mean pca_dims?"),
        ({"pca_dims": 0}, "pca_dims=0: use a whole number from 1"),
        ({"pca_dims": 1.5}, "pca_dims=1.5"),
        ({"pca_dims": "many"}, "pca_dims='many'"),
        ({"pooling": "avg"}, "pooling='avg': use one of auto, mean, first, last, pooler"),
        ({"dtype": "flot16"}, "Did you mean float16?"),
        ({"weighting": "frequencies"}, "use one of auto, fitted, frequency, none, zipf. Did you mean frequency?"),
        ({"refinement": "generate"}, "use one of auto, none, corpus, dictionary, generated. Did you mean generated?"),
        ({"name": "Not a slug"}, "name='Not a slug'"),
        ({"name": "a/../b"}, "name='a/../b'"),
        ({"repository": "no-owner"}, "written owner/name"),
        ({"words": "no-such-file.txt"}, "there is no such file"),
        ({"vocabulary": "word"}, "vocabulary='word': use one of words, teacher"),
        ({"refinement": "corpus"}, "refinement=corpus needs texts"),
        ({"language": "xx"}, "language=xx: wordfreq knows no words of it"),
        ({"language": "English"}, "language='English'"),
        ({"refinement": "none", "weighting": "fitted"}, "use weighting=frequency"),
        ({"pca_dims": None}, "use pca_dims=auto, or refinement=none"),
        ({"preset": "model2vek"}, "Did you mean model2vec?"),
        ({"device": "gpu"}, "use auto, cpu, cuda"),
        ({"trust_remote_code": "perhaps"}, "trust_remote_code='perhaps'"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_what_to_do(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        make_recipe({**BASE, **fields}, source="here")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"), [(b"one\n\ntwo\n", "2 texts, one a line; at least 3"), (b"\xff\xfe", "not UTF-8 text")]
)
def test_evaluation_texts_that_cannot_be_compared_on_are_known_of_at_once(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "texts.txt").write_bytes(content)
    recipe = make_recipe({**BASE, "evaluation_texts": "texts.txt"}, source="here", base=tmp_path)
    with pytest.raises(EvaluationError, match=said):
        stage_keys(recipe, {"files_sha256": "0"})


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as refused:
        make_recipe({**BASE, "pca_dims": -1, "dtype": "int4"}, source="here")
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "value"), [("256", 256), ("0.95", 0.95), ("auto", "auto"), ("none", None), (None, None)]
)
def test_dimensions_read_the_same_from_a_command_line_and_from_yaml(text: str | None, value: object) -> None:
    recipe = make_recipe({**BASE, "refinement": "none", "pca_dims": text}, source="here")
    assert recipe.pca_dims == value


def test_a_saved_recipe_reads_back_equal(home: Home, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("pineapple\ncafé\n")
    recipe = make_recipe(
        {**BASE, "words": words, "pca_dims": 0.9, "prompt": "query: ", "commit_message": "feat: übung"}, source="here"
    )
    assert resolved_fields(read_recipe(home.save_recipe(recipe))) == resolved_fields(recipe)


def test_new_defaults_change_no_saved_recipe(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = {"files_sha256": "0"}
    recipe = make_recipe({"name": "tiny", "teacher": "MINILM_EMBEDDED"}, source="here")
    before, path = stage_keys(recipe, identity), home.save_recipe(recipe)
    saved = read_fields(path)
    for stage in list(STAGES.values())[:-1]:
        assert set(stage.reads(recipe)) - {"teacher_label"} <= saved.keys()
    assert (saved["dtype"], saved["vocabulary_words"], saved["whitening"]) == ("float16", "100000", "0.3")
    defaults = {"weighting": "zipf", "whitening": 0.9, "generated_texts": 500}
    monkeypatch.setattr("distill_pipeline.recipe.recipe.AUTO", {"dictionary": defaults})
    monkeypatch.setattr(
        "distill_pipeline.recipe.recipe.ALIASES", {"MINILM_EMBEDDED": "acme/other", "B": saved["teacher"]}
    )
    assert stage_keys(read_recipe(path), identity) == before


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ("language: no", "language", "no"),
        ("revision: 2024", "revision", "2024"),
        ("tag: 1.10", "tag", "1.10"),
        ("branch: 2024-01-01", "branch", "2024-01-01"),
        ("commit_message: yes", "commit_message", "yes"),
        ("words: [no, on, 2024, 1.0, null, 1:30, 0x1f]", "words", ("no", "on", "2024", "1.0", "null", "1:30", "0x1f")),
        ("words: kiwi, plum", "words", ("kiwi", "plum")),
        ("words:", "words", ()),
        ("private: no", "private", False),
        ("lowercase: off", "lowercase", False),
        ("whitening: 1e-1", "whitening", 0.1),
        ("prompt: ~", "prompt", None),
        ("evaluation_texts: none", "evaluation_texts", None),
        ("base: &base {pca_dims: 8}", None, "unknown field 'base'"),
        ("seed: 1.5", None, "seed='1.5'"),
        ("pca_dims: 8\nseed: 1\npca_dims: 16", None, "pca_dims is given twice (line 4)"),
        ("sweep:\n  pca_dims: [4]\n  pca_dims: [8]", None, "pca_dims is given twice (line 4)"),
    ],
)
def test_yaml_means_what_is_written(home: Home, written: str, field: str | None, value: object) -> None:
    home.recipes.mkdir(parents=True)
    (home.recipes / "mine.yml").write_text(f"teacher: MINILM_EMBEDDED\n{written}\n", encoding="utf-8-sig")
    if field is not None:
        assert getattr(home.recipe("mine"), field) == value
        return
    with pytest.raises(RecipeError) as refused:
        home.recipe("mine")
    assert str(value) in str(refused.value)
    assert "mine.yml: " in str(refused.value)


def test_two_files_of_one_name_are_told_of(home: Home) -> None:
    home.recipes.mkdir(parents=True)
    for ending in ("yaml", "yml"):
        (home.recipes / f"mine.{ending}").write_text("teacher: MINILM_EMBEDDED\n")
    with pytest.raises(RecipeError, match=r"there is mine\.yaml beside it"):
        home.recipe("mine")


def test_lists_are_written_with_commas_too(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "c,d.txt"):
        (tmp_path / name).write_text("text\n")
    given = {"corpus": "a.txt, b.txt", "labelled_sets": "pairs:c,d.tsv,mteb:STS12", "words": "a.txt"}
    recipe = make_recipe({**BASE, **given}, source="here", base=tmp_path)
    assert recipe.corpus == (str(tmp_path / "a.txt"), str(tmp_path / "b.txt"))
    assert recipe.labelled_sets == (f"pairs:{tmp_path / 'c,d.tsv'}", "mteb:STS12")
    assert recipe.words == tmp_path / "a.txt"
    recipe = make_recipe({**BASE, "corpus": "c,d.txt", "words": "c,d.txt"}, source="here", base=tmp_path)
    assert (recipe.corpus, recipe.words) == ((str(tmp_path / "c,d.txt"),), tmp_path / "c,d.txt")
    assert make_recipe({**BASE, "words": ",".join(["word"] * 999)}, source="here").words == ("word",) * 999


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("teacher", "acme/my--model"),
        ("teacher", "acme/model.git"),
        ("teacher", f"acme/{'m' * 97}"),
        ("teacher", "acme/modèle"),
        ("repository", "acme/model..v2"),
        ("repository", "acme/model-"),
        ("corpus", "dataset:acme/my--texts"),
    ],
)
def test_a_name_that_the_hub_allows_not_is_a_wrong_field(field: str, name: str) -> None:
    with pytest.raises(RecipeError, match=f"here: {field}="):
        make_recipe({**BASE, field: name}, source="here")


def test_a_shipped_recipe_is_never_overwritten(home: Home) -> None:
    with pytest.raises(RecipeError, match="shipped"):
        home.save_recipe(make_recipe({**BASE, "name": "minilm-256"}, source="here"))


def test_every_shipped_recipe_is_valid_and_has_floors() -> None:
    recipes = {path.stem: read_recipe(path) for path in SHIPPED_RECIPES.glob("*.yaml")}
    assert {"minilm-256", "minilm-256-model2vec", "modernbert-base-256", "modernbert-large-256"} <= set(recipes)
    assert all(recipe.min_similarity_correlation > 0 < recipe.min_neighbour_overlap for recipe in recipes.values())


def test_one_broken_file_leaves_the_other_recipes_alone(home: Home) -> None:
    home.recipes.mkdir(parents=True)
    (home.recipes / "good.yaml").write_text("teacher: MODERNBERT_BASE\n")
    (home.recipes / "bad.yaml").write_text("teacher: MODERNBERT_BASE\npca_dim: 3\n")
    (home.recipes / "worse.yaml").write_text("teacher: [\n")
    recipes, problems = home.load_recipes()
    assert "good" in recipes
    assert len(problems) == 2


def test_a_recipe_file_cannot_construct_python_objects(home: Home, tmp_path: Path) -> None:
    home.recipes.mkdir(parents=True)
    marker = tmp_path / "marker"
    (home.recipes / "evil.yaml").write_text(f"teacher: !!python/object/apply:os.mkdir ['{marker}']\n")
    with pytest.raises(RecipeError, match="not readable as YAML"):
        home.recipe("evil")
    assert not marker.exists()


def test_what_distill_offers_can_be_said_in_a_recipe() -> None:
    import inspect

    # Constants of the preset `model2vec`, or never measured to win anything.
    left_out = {"sif_coefficient", "token_remove_pattern", "vocabulary_quantization"}

    renamed = {"model_name": "teacher", "quantize_to": "dtype"}
    offered = {renamed.get(name, name) for name in inspect.signature(distill).parameters}
    assert offered - left_out <= set(Recipe.model_fields)


def test_a_relative_teacher_folder_counts_from_the_recipe_file(tmp_path: Path, modernbert: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "teacher").symlink_to(modernbert)
    (tmp_path / "recipes" / "mine.yaml").write_text("teacher: ../teacher\n")
    assert Path(read_recipe(tmp_path / "recipes" / "mine.yaml").teacher) == modernbert.resolve()


def test_a_limit_of_entries_is_of_words_alone_and_changes_the_vocabulary() -> None:
    def vocabulary(**fields: object) -> str:
        recipe = make_recipe({**BASE, **fields}, source="test")
        return stage_keys(recipe, {"files_sha256": "0"})["vocabulary"].fingerprint

    assert vocabulary() == vocabulary(max_entries="none") != vocabulary(max_entries=900)
    assert vocabulary(max_entries=900) == vocabulary(max_entries="900")
    with pytest.raises(RecipeError, match=r"max_entries.*vocabulary=teacher keeps the teacher's entries"):
        vocabulary(vocabulary="teacher", max_entries=900)

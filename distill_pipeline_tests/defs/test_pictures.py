"""Pictures in the stages' outputs, their metadata, the release and its card, by real runs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from distill_pipeline.figures.captions import CAPTIONS, SINCE_RELEASE
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.student.files import REPORT
from distill_pipeline_tests.running import BEFORE_RELEASE, HITS, TO_MATRIX, Chain

MakeRecipe = Callable[..., Recipe]

SHOWN = {
    "student_matrix": {"variance_curve", "weights_by_rank", "norms_by_rank"},
    "static_model": {"word_map"},
    "quality_report": {"similarities", "quality_by_kind"},
}


def pictures_in(values: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the PNG files in a stage's metadata, by name."""
    matches = {
        name: re.match(r"!\[(.+?)\]\(data:image/png;base64,(.*?)\)", str(value)) for name, value in values.items()
    }
    return {name: base64.b64decode(match[2]) for name, match in matches.items() if match}


def test_each_stage_shows_its_pictures_and_the_release_and_its_card_hold_them(chain: Chain, recipe: MakeRecipe) -> None:
    metadata = chain.metadata(chain.run(recipe(), pictures=True))
    release = chain.home.releases / "tiny"
    card = (release / "README.md").read_text(encoding="utf-8")
    for stage, names in SHOWN.items():
        found = pictures_in(metadata[stage])
        assert set(found) == names
        for name, content in found.items():
            width, height = Image.open(BytesIO(content)).size
            assert width >= 600
            assert height >= 300
            assert len(content) < 80_000
            assert (release / "figures" / f"{name}.png").read_bytes() == content
            assert f"![{CAPTIONS[name].alt}](figures/{name}.png)" in card
            assert CAPTIONS[name].explanation in card
    assert {path.stem for path in (release / "figures").iterdir()} == set().union(*SHOWN.values())
    # A hit shows what was stored.
    again = chain.run(recipe(), pictures=True)
    assert chain.cache(again) == HITS
    shown = chain.metadata(again)
    assert all(pictures_in(shown[stage]) == pictures_in(metadata[stage]) for stage in SHOWN)


def test_the_cut_that_is_drawn_is_the_students(finished: Chain, recipe: MakeRecipe) -> None:
    before = finished.metadata(finished.run(recipe(), TO_MATRIX, pictures=True))["student_matrix"]
    facts = finished.output(recipe(), "student_matrix").facts
    assert facts["dimensions"] == 8
    assert facts["explained_variance"] == pytest.approx(facts["cumulative_variance"][7], abs=1e-6)
    after = finished.metadata(finished.run(recipe(pca_dims=4), TO_MATRIX, pictures=True))["student_matrix"]
    assert before["variance_curve"] != after["variance_curve"]


def test_a_matrix_on_the_teachers_own_axes_has_no_cut_to_draw(finished: Chain, recipe: MakeRecipe) -> None:
    plain = recipe(refinement="none", pca_dims="none")
    stages = ["vocabulary", "token_embeddings", "student_matrix"]
    metadata = finished.metadata(finished.run(plain, stages, pictures=True))
    assert set(pictures_in(metadata["student_matrix"])) == {"weights_by_rank", "norms_by_rank"}


def test_words_have_their_neighbours_in_the_report_and_the_card(finished: Chain, recipe: MakeRecipe) -> None:
    metadata = finished.metadata(finished.run(recipe()))
    examples = json.loads((finished.home.releases / "tiny" / "quality.json").read_text())["word_examples"]
    assert len(examples) == 8
    for example in examples:
        assert len(set(example["teacher"])) == len(set(example["student"])) == 4
        assert example["word"] not in [*example["teacher"], *example["student"]]
    assert (
        f"| {examples[0]['word']} | {', '.join(examples[0]['teacher'])} |"
        in metadata["quality_report"]["nearest_words"]
    )
    assert metadata["quality_report"]["nearest_words"] in (finished.home.releases / "tiny" / "README.md").read_text()


def test_a_language_without_word_frequencies_has_no_table_of_words(
    chain: Chain, recipe: MakeRecipe, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("owls hunt mice at night\nshares fell sharply\nbread and people\nsnow and rain\n")
    fields = {"language": "xx", "refinement": "none", "vocabulary": "teacher", "evaluation_texts": str(texts)}
    metadata = chain.metadata(chain.run(recipe(**fields), BEFORE_RELEASE))
    assert _report(chain, recipe(**fields))["word_examples"] == []
    assert "nearest_words" not in metadata["quality_report"]


def _report(chain: Chain, recipe: Recipe) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((chain.output(recipe, "quality_report").folder / REPORT).read_text())
    return report


@pytest.mark.parametrize("kind", ["modernbert", "bert", "unigram"])
def test_the_report_measures_what_model2vec_makes_of_the_same_teacher(
    chain: Chain, recipe: MakeRecipe, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("a\tb\tscore\nowl\tmice\t1\nshares fell\tthe market\t5\nowl\tshares\t0\nsnow\train\t3\n")
    fields = {
        "teacher": str(request.getfixturevalue(kind)),
        "labelled_sets": [f"pairs:{pairs}"],
        "min_similarity_correlation": -1,  # of random teachers; a WordPiece trainer gives other pieces each time
    }
    precision = "auto" if kind == "modernbert" else "float32"
    compared = recipe(**fields, precision=precision, compare_with_model2vec=True)
    chain.run(compared)
    plain = make_recipe({"name": "other", "preset": "model2vec", "pca_dims": 8, **fields}, source="test")
    chain.run(plain, BEFORE_RELEASE)
    ours, theirs = _report(chain, compared), _report(chain, plain)
    # The baseline's rows are in the precision of the student's.
    for name in ("similarity_correlation", "neighbour_overlap", "nearest_retrieved"):
        assert ours["model2vec"][name] == pytest.approx(theirs[name], abs=0.02)
    scores = [side["labelled_sets"][0]["student"] for side in (ours["model2vec"], theirs)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)
    assert theirs["model2vec"] is None  # it is that student itself
    card = (chain.home.releases / "tiny" / "README.md").read_text(encoding="utf-8")
    assert "| figure | value | `model2vec.distill`, same dimensions |" in card
    assert f"{ours['model2vec']['similarity_correlation']:.3f} |" in card


def test_recipes_of_one_teacher_share_the_comparison(finished: Chain, recipe: MakeRecipe) -> None:
    def made(stage: str) -> set[str]:
        return {path.name for path in (finished.home.root / "store" / stage).glob("[!.]*")}

    finished.run(recipe(compare_with_model2vec=True), BEFORE_RELEASE)
    before = {stage: made(stage) for stage in ("token_embeddings", "model2vec_evaluation", "teacher_evaluation")}
    assert [len(names) for names in before.values()] == [1, 1, 1]
    other = recipe(name="other", compare_with_model2vec=True, whitening=0.9)
    cache = finished.cache(finished.run(other, BEFORE_RELEASE))
    assert cache["quality_report"] == "computed"
    assert {stage: made(stage) for stage in before} == before
    # Without the comparison the teacher's side is the same.
    finished.run(recipe(whitening=0.9), BEFORE_RELEASE)
    assert {stage: made(stage) for stage in before} == before


def test_a_release_is_compared_with_the_one_before_outside_of_its_own_bytes(
    finished: Chain, recipe: MakeRecipe
) -> None:
    first = finished.metadata(finished.run(recipe()))
    assert "last release" not in first["quality_report"]["by_kind"]
    assert SINCE_RELEASE not in first["hub_release"]
    released = json.loads((finished.home.releases / "tiny" / "quality.json").read_text())
    second = finished.metadata(finished.run(recipe(whitening=0.9)))
    header, _, row, *_ = second["quality_report"]["by_kind"].splitlines()
    assert header == "| kind | student | last release |"
    assert row.endswith(f"| {released['similarity_correlation']:.3f} |")
    assert Image.open(BytesIO(pictures_in(second["hub_release"])[SINCE_RELEASE])).size[0] >= 600
    assert not (finished.home.releases / "tiny" / "figures" / f"{SINCE_RELEASE}.png").exists()
    # The student is now itself the last release.
    assert "last release" not in finished.metadata(finished.run(recipe(whitening=0.9)))["quality_report"]["by_kind"]

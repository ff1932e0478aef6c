"""What the card says, and what it must not show."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from distill_pipeline.release.verify import verify
from distill_pipeline.texts.dictionary import LICENCE
from distill_pipeline_tests.release.student import go, make_ingredients, make_release


def test_the_cards_header_is_what_the_hub_understands(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard, metadata_load

    folder = make_release(tmp_path / "a")
    data: Any = ModelCard((folder / "README.md").read_text(encoding="utf-8")).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "model2vec", "sentence-similarity")
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    metrics = {result.metric_type: result.metric_value for result in data.eval_results or []}
    assert metrics == {"spearman": 0.8, "neighbour_overlap": 0.7, "mrr": 0.6}
    assert data.model_name == "tiny"
    assert metadata_load(folder / "README.md") == data.to_dict(), "nothing is lost when the Hub's own reader reads it"


def test_the_card_says_which_prompts_the_teacher_names_and_which_was_used(tmp_path: Path) -> None:
    named = "query 'find: ' (its default), passage 'text: '"
    for prompt, used in ((None, "none was used"), ("text: ", "'text: ' was put before each text")):
        ingredients = replace(make_ingredients(tmp_path / str(prompt), prompt=prompt, repository="none"), prompts=named)
        go(ingredients, tmp_path / "released")
        card = (tmp_path / "released" / "README.md").read_text(encoding="utf-8")
        assert f"The teacher names prompts, {named}; for this student {used}." in card


def test_the_card_of_a_student_that_was_fitted_to_the_dictionary_says_its_licence(tmp_path: Path) -> None:
    cards = [
        (make_release(tmp_path / refinement, refinement=refinement) / "README.md").read_text(encoding="utf-8")
        for refinement in ("dictionary", "generated")
    ]
    assert [LICENCE in card for card in cards] == [True, False]


@pytest.mark.parametrize(
    ("dtype", "said"),
    [
        ("float16", 'SentenceTransformer("me/tiny").float().encode'),
        ("float32", 'SentenceTransformer("me/tiny").encode'),
        ("int8", "From version 6 on."),
    ],
)
def test_the_card_says_how_each_library_loads_it_and_what_folded_accents_merge(
    tmp_path: Path, dtype: str, said: str
) -> None:
    card = (make_release(tmp_path / "a", dtype=dtype) / "README.md").read_text(encoding="utf-8")
    assert said in card
    assert "accents are folded: 12 words share an entry" in card


def test_a_licence_that_cant_be_had_is_called_unknown(tmp_path: Path) -> None:
    told = go(replace(make_ingredients(tmp_path / "a", repository="none"), licence=None), tmp_path / "released")
    assert told == ["the teacher's licence is unknown: the Hub is out of reach, and its cache lacks the teacher's card"]
    assert "The teacher's licence: unknown" in (tmp_path / "released" / "README.md").read_text(encoding="utf-8")


def test_no_text_of_a_file_of_ones_own_is_released(tmp_path: Path) -> None:
    (tmp_path / "internal.txt").write_text("owl\nmice\nnight\n")
    shown = make_release(tmp_path / "shown")
    hidden = make_release(tmp_path / "hidden", evaluation_texts=str(tmp_path / "internal.txt"))
    assert "| owl | mice | night |" in (shown / "README.md").read_text()
    corpus = make_release(tmp_path / "corpus", refinement="corpus", corpus=[str(tmp_path / "internal.txt")])
    for folder, name in product((hidden, corpus), ("README.md", "quality.json")):
        assert "mice" not in (folder / name).read_text().replace("the owl hunts mice", "")
    stored = tmp_path / "shown-stages" / "quality" / "quality.json"
    assert (shown / "quality.json").read_bytes() == stored.read_bytes()


def test_scores_on_tasks_of_mteb_are_where_the_hub_looks_for_them(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard, parse_eval_result_entries

    task = {
        **{"kind": "mteb", "set": "STS12", "dataset": "mteb/sts12-sts", "revision": "a0d5"},
        **{"parts": {"STS12_default_test": 0.7125}, "student": 0.7125, "teacher": 0.78},
    }
    folder = make_release(tmp_path / "a", scored=[task], language="en-GB")
    [path] = (folder / ".eval_results").iterdir()
    assert path.name == "STS12.yaml"
    [entry] = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert (entry.dataset_id, entry.dataset_revision) == ("mteb/sts12-sts", "a0d5")
    assert (entry.task_id, entry.value) == ("STS12_default_test", 71.25)
    card = (folder / "README.md").read_text(encoding="utf-8")
    data: Any = ModelCard(card).data
    assert "mteb" in data.tags
    assert data.language == "en"
    assert "| STS12 | mteb | 0.780 | 0.713 |" in card
    assert ".eval_results/STS12.yaml" in (folder / "provenance.json").read_text()
    verify(folder)


def test_a_card_without_tasks_says_what_agreement_cant_tell(tmp_path: Path) -> None:
    card = (make_release(tmp_path / "a", language="de") / "README.md").read_text(encoding="utf-8")
    assert "No task with labels (de): agreement doesn't tell what a search or a classifier would lose." in card
    assert "mteb" not in card

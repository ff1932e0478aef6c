"""The benchmark from the dictionary: what it is made of, and that it tells models apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from distill_pipeline.errors import RecipeError
from distill_pipeline.quality.dictionary import Tasks, choose_synsets, dictionary_tasks, make_tasks, score_tasks
from distill_pipeline.recipe.choices import DICTIONARY_KINDS
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.gate import failed_floors
from distill_pipeline.texts.dictionary import read_synsets
from distill_pipeline_tests.running import Chain


@pytest.fixture
def few() -> Tasks:
    """The tasks on a few synsets of each class."""
    return make_tasks(choose_synsets(read_synsets(), set(), most=8), set())


def test_no_text_of_the_tasks_is_one_that_a_student_may_be_fitted_to() -> None:
    tasks = dictionary_tasks()
    fitted = [synset for synset in read_synsets() if not synset.held_out]
    texts = {synset.definition for synset in fitted} | {text for synset in fitted for text in synset.examples}
    assert not texts & {*tasks.definitions, *tasks.examples}
    assert len(set(tasks.definitions)) == len(tasks.definitions) > 3000
    assert len(set(tasks.words)) == len(tasks.words) > 5000
    assert len(tasks.examples) > 1000
    sizes = Counter(tasks.classes.tolist())
    assert len(sizes) > 35
    assert max(sizes.values()) <= 90
    assert min(sizes.values()) >= 40


def _knowing(tasks: Tasks) -> Callable[[Sequence[str]], npt.NDArray[np.float64]]:
    """A model that knows each text's synset and class."""
    synset_of = dict(zip(tasks.definitions, range(len(tasks.definitions)), strict=True))
    synset_of |= {tasks.words[word]: synset for synset, own in enumerate(tasks.own_words) for word in own}
    synset_of |= dict(zip(tasks.examples, tasks.illustrated.tolist(), strict=True))
    names = sorted(set(tasks.classes.tolist()))

    def encode(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        rows = np.zeros((len(texts), len(names) + len(tasks.definitions)))
        for row, text in enumerate(texts):
            synset = synset_of[text]
            rows[row, [names.index(tasks.classes[synset]), len(names) + synset]] = 1
        return rows

    return encode


def test_a_model_that_knows_scores_high_in_each_task_and_a_blind_one_low(few: Tasks) -> None:
    knowing = score_tasks(few, _knowing(few))
    blind = score_tasks(few, lambda texts: np.random.default_rng(0).normal(size=(len(texts), 16)))
    assert list(knowing) == list(blind) == list(DICTIONARY_KINDS)
    for kind, low in zip(DICTIONARY_KINDS, (0.15, 0.6, 0.1, 0.2, 0.65), strict=True):
        assert knowing[kind].value > 0.85
        assert blind[kind].value < low
        assert 0 <= (blind[kind].error or 0) < 0.05


def test_the_report_the_card_and_the_gate_have_each_task_of_teacher_student_and_model2vec(
    finished: Chain, recipe: Callable[..., Recipe], few: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill_pipeline.quality.labelled.dictionary_tasks", lambda: few)
    made = recipe(labelled_sets=["dictionary"], compare_with_model2vec=True, min_scores={"synonyms": 0.1})
    metadata = finished.metadata(finished.run(made))["quality_report"]
    release = finished.home.releases / "tiny"
    report = json.loads((release / "quality.json").read_text())
    card = (release / "README.md").read_text()
    assert [entry["kind"] for entry in report["labelled_sets"]] == list(DICTIONARY_KINDS)
    for ours, theirs in zip(report["labelled_sets"], report["model2vec"]["labelled_sets"], strict=True):
        scores = ((ours, "teacher"), (ours, "student"), (theirs, "student"))
        cells = (f"{side[of]:.3f} ± {side[f'{of}_error']:.3f}" for side, of in scores)
        row = f"| WordNet 3.0, held out | {ours['kind']} | {' | '.join(cells)} |"
        assert row in metadata["labelled_sets"]
        assert row in card
        assert DICTIONARY_KINDS[ours["kind"]] in card
        assert f"| {ours['kind']} | {ours['teacher']:.3f} | {ours['student']:.3f} |" in metadata["by_kind"]
    assert failed_floors(made, report) == []
    [failed] = failed_floors(recipe(labelled_sets=["dictionary"], min_scores={"synonyms": 0.999}), report)
    assert failed.startswith("the score of kind 'synonyms', 0.")
    assert failed.endswith("is below the floor 0.999")


def test_a_floor_of_a_kind_that_nothing_scores_is_refused(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError, match=r"no set of the kind 'synonym'; .*Did you mean synonyms\?"):
        recipe(labelled_sets=["dictionary"], min_scores={"synonym": 0.5})
    written = recipe(labelled_sets=["dictionary"], min_scores="definition to word: 0.2, synonyms: 0.9")
    assert written.min_scores == {"definition to word": 0.2, "synonyms": 0.9}
    with pytest.raises(RecipeError, match="no set of the kind 'synonyms'; labelled_sets has none"):
        recipe(labelled_sets=["dictionary"], language="de", min_scores={"synonyms": 0.5})  # it is English

"""What pictures show is what the data says: ranks, named words, norms, kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distill_pipeline.figures.overview import (
    Ranking,
    map_to_plane,
    norm_percentiles,
    rank_entries,
    row_norms,
    sample_by_rank,
    words_to_label,
)
from distill_pipeline.quality.agreement import frequent_words, nearest_words, pair_similarities
from distill_pipeline.quality.measures import comparable_figures, figures_by_kind, kinds_table
from distill_pipeline.vocabulary.vocabulary import build_vocabulary, build_word_vocabulary


@pytest.fixture
def ranking(modernbert: Path) -> Ranking:
    return rank_entries(build_word_vocabulary(modernbert, count=300))


def test_ranks_follow_the_frequencies_and_special_tokens_have_none(modernbert: Path) -> None:
    vocabulary = build_word_vocabulary(modernbert, count=300)
    ranking = rank_entries(vocabulary)
    assert [vocabulary.tokens[row] for row in np.flatnonzero(ranking.ranks == 0)] == ["[PAD]", "[UNK]"]
    assert sorted(ranking.ranks[ranking.ranks > 0]) == list(range(1, ranking.entries + 1))
    by_row = vocabulary.frequencies[np.argsort(ranking.ranks)][2:]
    assert (np.diff(by_row) <= 0).all()


def test_named_words_go_from_the_most_frequent_to_the_rarest(ranking: Ranking) -> None:
    named = words_to_label(ranking)
    ranks = ranking.ranks[named]
    assert ranking.texts[named[0]] == "the"
    assert (np.diff(ranks) > 0).all()
    assert (ranking.groups[named] == 0).all()
    assert named[-1] == ranking.words(ranking.entries)[-1]
    steps = np.diff(np.log(ranks))
    assert steps.max() < 3 * np.log(ranks[-1]) / len(named)


def test_a_cased_tokenizer_has_each_word_once_and_without_its_marks(modernbert: Path) -> None:
    ranking = rank_entries(build_vocabulary(modernbert))
    words = [ranking.texts[row] for row in ranking.words(300)]
    assert "the" in words
    assert len({word.lower() for word in words}) == len(words)
    assert not [word for word in words if "Ġ" in word or not word.isalpha()]


def test_the_dots_of_a_kind_are_of_that_kind_and_begin_with_the_most_frequent(ranking: Ranking) -> None:
    rows = sample_by_rank(ranking, 0, 40)
    assert 20 < len(rows) <= 40
    assert (ranking.groups[rows] == 0).all()
    assert ranking.ranks[rows[0]] == ranking.ranks[ranking.groups == 0].min()
    assert ranking.ranks[rows[-1]] == ranking.ranks[ranking.groups == 0].max()


def test_norms_by_rank_are_those_of_the_rows() -> None:
    rows = np.array([[3.0, 4.0], [0, 0], [6, 8], [0, 20]])
    norms = row_norms([rows[:2], rows[2:]])
    assert norms.tolist() == [5, 0, 10, 20]
    ranking = Ranking(np.array([1, 2, 3, 4]), np.zeros(4, dtype=np.int8), ["a", "b", "c", "d"])
    middles, (low, middle, high) = norm_percentiles(ranking, norms, bins=50)
    np.testing.assert_allclose(middles, [1, 3, 4])  # the silent row is left out
    np.testing.assert_allclose(middle, [0.5, 1, 2])  # over their median, 10
    np.testing.assert_allclose(low, high)


def test_similar_rows_lie_near_each_other_on_the_map() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 12)
    rows = rng.normal(size=(4, 30))[groups] * 4 + rng.normal(size=(48, 30))
    places = map_to_plane(rows)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (groups[apart.argmin(axis=1)] == groups).all()
    assert (map_to_plane(rows) == places).all()


def test_pairs_are_spread_over_all_pairs_and_never_more_than_asked_for() -> None:
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(90, 6)), rng.normal(size=(90, 4))
    teacher_cosines, student_cosines = pair_similarities(teacher, student, max_pairs=1000)
    assert len(teacher_cosines) == len(student_cosines) <= 1000
    cosine = float(teacher[0] @ teacher[1] / np.linalg.norm(teacher[0]) / np.linalg.norm(teacher[1]))
    assert teacher_cosines[0] == pytest.approx(cosine)
    assert np.isfinite(teacher_cosines).all()


def test_the_nearest_words_are_other_words_nearest_first() -> None:
    angles = np.array([0.0, 0.1, 0.3, 1.5])
    rows = np.column_stack([np.cos(angles), np.sin(angles)])
    [first, *_] = nearest_words(["cat", "kitten", "dog", "bond"], rows, rows[::-1], examples=4, neighbours=2)
    assert first == {"word": "cat", "teacher": ["kitten", "dog"], "student": ["kitten", "dog"]}


REPORT = {
    "similarity_correlation": 0.7,
    "neighbour_overlap": 0.6,
    "nearest_retrieved": 0.5,
    "texts": 120,
    "texts_sha256": "t",
    "model_digest": "a",
    "labelled_sets": [
        {"set": "one", "kind": "pairs", "teacher": 0.9, "student": 0.8},
        {"set": "two", "kind": "pairs", "teacher": 0.7, "student": 0.6},
        {"set": "three", "kind": "clustering", "teacher": 0.5, "student": 0.4},
    ],
    "model2vec": None,
}


def test_a_kinds_figure_is_the_mean_of_its_sets() -> None:
    assert figures_by_kind(REPORT, "teacher") == {"pairs": 0.8, "clustering": 0.5}
    assert figures_by_kind(REPORT)["pairs"] == 0.7
    assert figures_by_kind(REPORT)["similarity order"] == 0.7


def test_only_what_was_measured_alike_is_compared_with_the_last_release() -> None:
    released = {**REPORT, "model_digest": "b", "similarity_correlation": 0.6}
    assert comparable_figures(released, REPORT)["similarity order"] == 0.6
    assert set(comparable_figures({**released, "texts_sha256": "u"}, REPORT)) == {"pairs", "clustering"}
    fewer = {**released, "labelled_sets": REPORT["labelled_sets"][1:]}  # type: ignore[index]
    assert "pairs" not in comparable_figures(fewer, REPORT)
    assert "clustering" in comparable_figures(fewer, REPORT)
    changed = {**released, "labelled_sets": [{**entry, "sha256": "c"} for entry in REPORT["labelled_sets"]]}  # type: ignore[attr-defined]
    assert "clustering" not in comparable_figures(changed, REPORT)
    assert comparable_figures({**released, "model_digest": "a"}, REPORT) == {}  # this very student
    assert comparable_figures(None, REPORT) == {}
    assert comparable_figures({"model_digest": "b", "texts_sha256": "t"}, REPORT) == {}  # a report of another age


def test_the_table_has_a_column_for_each_side_that_was_measured() -> None:
    header, rows = kinds_table(REPORT, {})
    assert header == ["kind", "teacher", "student"]
    assert rows[0] == ("similarity order", "", "0.700")
    plain = dict.fromkeys(("similarity_correlation", "neighbour_overlap", "nearest_retrieved"), 0.1)
    header, rows = kinds_table({**REPORT, "model2vec": plain}, {"pairs": 0.65})
    assert header == ["kind", "teacher", "student", "model2vec", "last release"]
    assert ("pairs", "0.800", "0.700", "", "0.650") in rows


@pytest.mark.parametrize(("language", "word", "common"), [("en", "goalkeeper", "the"), ("zh", "天气", "的")])
def test_the_words_of_the_table_are_words_of_any_script_without_the_commonest(
    language: str, word: str, common: str
) -> None:
    words = frequent_words(language, count=30_000)
    assert word in words
    assert common not in words
    assert all(word.isalpha() for word in words)
    assert len(frequent_words(language)) == 2000

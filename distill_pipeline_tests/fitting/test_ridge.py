"""The refinement's mathematics against dense solutions, and what it wins in the chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from scipy import sparse
from tokenizers import Tokenizer, models, pre_tokenizers

from distill_pipeline.errors import RecipeError
from distill_pipeline.fitting.problem import hold_out, text_importance
from distill_pipeline.fitting.ridge import solve_ridge, whiten
from distill_pipeline.fitting.shares import TokenShares, token_shares
from distill_pipeline.fitting.start import fit_start, weight_curves
from distill_pipeline.fitting.tuning import similarity_loss, tune_similarities
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.texts.refinements import refinement_texts
from distill_pipeline.vocabulary.words import entry_groups
from distill_pipeline_tests.running import BEFORE_RELEASE, TO_MATRIX, Chain

Rows = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def matrix() -> sparse.csr_matrix:
    random = np.random.default_rng(0)
    dense = random.random((300, 40)) * (random.random((300, 40)) < 0.2)
    dense[:, 39] = 0  # an entry that no text touches
    return sparse.csr_matrix((dense / np.maximum(dense.sum(axis=1, keepdims=True), 1e-9)).astype(np.float32))


@pytest.fixture
def shares(matrix: sparse.csr_matrix, monkeypatch: pytest.MonkeyPatch) -> TokenShares:
    return _in_parts(matrix, monkeypatch)


def _in_parts(matrix: sparse.csr_matrix, monkeypatch: pytest.MonkeyPatch) -> TokenShares:
    monkeypatch.setattr("distill_pipeline.fitting.shares.TEXTS_IN_PART", 100)
    return TokenShares.of(matrix[first : first + 30] for first in range(0, matrix.shape[0], 30))


@pytest.fixture(scope="module")
def targets() -> Rows:
    return np.random.default_rng(1).normal(size=(300, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def start() -> Rows:
    return np.random.default_rng(2).normal(size=(40, 6)).astype(np.float32)


def _dense(matrix: sparse.csr_matrix, targets: Rows, start: Rows, penalty: float) -> npt.NDArray[np.float64]:
    a, y, e = matrix.toarray().astype(np.float64), targets.astype(np.float64), start.astype(np.float64)
    solved: npt.NDArray[np.float64] = e + np.linalg.solve(a.T @ a + penalty * np.eye(40), a.T @ (y - a @ e))
    return solved


@pytest.fixture(autouse=True)
def several_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("parallel.ROWS_AT_ONCE", "ridge.ROWS_AT_ONCE", "start.ROWS_AT_ONCE", "tuning._ROWS_AT_ONCE"):
        monkeypatch.setattr(f"distill_pipeline.fitting.{name}", 16)
    monkeypatch.setattr("distill_pipeline.fitting.ridge._COLUMNS_AT_ONCE", 4)
    monkeypatch.setattr("distill_pipeline.fitting.ridge._FREQUENT", 7)


@pytest.mark.parametrize("penalty", [0.02, 0.2, 2.0])
def test_the_solver_finds_the_ridge_solution(
    shares: TokenShares, matrix: sparse.csr_matrix, targets: Rows, start: Rows, penalty: float
) -> None:
    solution = solve_ridge(shares, targets, start, penalty)
    expected = _dense(matrix, targets, start, penalty)
    assert np.abs(solution.rows - expected).max() < 0.02 * np.abs(expected).max()
    assert solution.residual < 3e-3
    np.testing.assert_array_equal(solution.rows[39], start[39])


def test_a_good_guess_saves_iterations_and_changes_nothing(
    shares: TokenShares, matrix: sparse.csr_matrix, targets: Rows, start: Rows
) -> None:
    far = solve_ridge(shares, targets, start, 0.1)
    near = solve_ridge(shares, targets, start, 0.1, guess=_dense(matrix, targets, start, 0.1).astype(np.float32))
    assert near.iterations < far.iterations
    assert np.abs(near.rows - far.rows).max() < 0.02 * np.abs(far.rows).max()


def test_token_shares_sum_to_one_without_what_is_skipped() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "owl": 1, "moon": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    shares = token_shares(tokenizer, ["owl moon owl", "owl comet", "comet"], counted=np.array([False, True, True]))
    expected = np.array([[0, 2 / 3, 1 / 3], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(shares.toarray(), expected, rtol=1e-6)


def test_the_start_recovers_weights_and_projection_that_made_the_targets(matrix: sparse.csr_matrix) -> None:
    random = np.random.default_rng(3)
    rows = random.normal(size=(40, 12)).astype(np.float32)
    probabilities = np.logspace(-7, -2, 40)
    groups = np.zeros(40, dtype=np.int8)
    axes = np.linalg.qr(random.normal(size=(12, 6)))[0]
    weights = 1e-4 / (1e-4 + probabilities)
    targets = (matrix @ (rows * weights[:, None]) @ axes).astype(np.float32)
    curves = weight_curves(probabilities, groups)
    start, fitted = fit_start(rows, axes, curves, matrix, targets)
    residual = targets - matrix @ start
    assert (residual**2).sum() < 0.02 * (targets**2).sum()
    assert fitted[0] > 10 * fitted[-1] >= 0


def test_whitening_evens_out_variances_by_its_strength(shares: TokenShares, matrix: sparse.csr_matrix) -> None:
    rows = (np.random.default_rng(4).normal(size=(40, 6)) * [9, 5, 3, 2, 1, 0.5]).astype(np.float32)

    def spread(strength: float) -> float:
        variances = (matrix @ whiten(rows, shares, strength, 6)).astype(np.float64).var(axis=0)
        return float(variances.max() / variances.min())

    assert spread(1.0) < 1.01
    assert spread(0.0) > spread(0.5) > spread(1.0)


def test_a_refined_student_agrees_better_with_its_teacher(finished: Chain, recipe: Callable[..., Recipe]) -> None:
    plain, refined = recipe(name="other", refinement="none"), recipe(generated_texts=2000)
    agreement = {
        made.name: finished.metadata(finished.run(made, BEFORE_RELEASE))["quality_report"]["similarity_correlation"]
        for made in (plain, refined)
    }
    assert agreement["tiny"] > agreement["other"]


def test_the_refinements_facts_are_in_the_metadata(finished: Chain, recipe: Callable[..., Recipe]) -> None:
    facts = finished.metadata(finished.run(recipe(), TO_MATRIX))["student_matrix"]["refinement"]
    assert facts["texts"] == 300
    assert facts["entries_touched"] > 0
    assert facts["r_squared_of_the_start"] < facts["r_squared"] <= 1
    assert str(facts["penalty"]) in facts["agreement_on_held_out_texts"]


def test_rows_of_padding_and_unknown_are_zero(finished: Chain, recipe: Callable[..., Recipe]) -> None:
    for made in (recipe(), recipe(name="other", refinement="none")):
        finished.run(made, TO_MATRIX)
        vocabulary = finished.output(made, "vocabulary").folder
        tokens = pq.read_table(vocabulary / "vocabulary.parquet")["token"].to_pylist()
        matrix = Embeddings([finished.output(made, "student_matrix").folder / "matrix.parquet"]).all()
        groups = entry_groups(Tokenizer.from_file(str(vocabulary / "tokenizer.json")))
        assert {tokens[row] for row in np.flatnonzero(groups < 0)} >= {"[UNK]", "[PAD]"}
        assert not matrix[groups < 0].any()
        assert matrix[groups == 0].any(axis=1).all()


def test_a_corpus_refines_and_its_content_is_part_of_the_fingerprint(
    chain: Chain, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(f"the owl number {n} hunts mice near house {n + 1}" for n in range(400)))
    made = recipe(refinement="corpus", corpus=[str(path)], phrases=0)
    assert chain.run(made, TO_MATRIX).success
    path.write_text(path.read_text() + "\none more line about the moon and the sea")
    cache = chain.cache(chain.run(made, TO_MATRIX))
    assert cache["text_embeddings"] == cache["student_matrix"] == "computed"
    assert cache["token_embeddings"] == "hit"


def test_a_corpus_of_too_few_texts_is_told_before_the_teacher_runs(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one owl hunts mice\ntwo owls hunt mice\n")
    corpus = {"refinement": "corpus", "corpus": [str(path)], "phrases": 0}
    with pytest.raises(RecipeError, match=r"texts\.txt: 2 passages and generated_texts=0; .* at least 100 texts"):
        refinement_texts(recipe(**corpus, generated_texts=0))
    assert [len(group) for group in refinement_texts(recipe(**corpus, generated_texts=99))] == [2, 33, 33, 33]


def test_the_shares_stay_in_their_file_whatever_is_made_of_them(
    matrix: sparse.csr_matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = _in_parts(matrix, monkeypatch).parts
    assert len(parts) > 2
    for part in parts:
        for made in (part.matrix, part.matrix.T):
            assert not any(_root(array).flags.owndata for array in (made.data, made.indices, made.indptr))


def _root(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return _root(array.base) if isinstance(array.base, np.ndarray) else array


def test_agreement_is_measured_on_texts_of_all_kinds() -> None:
    assert np.flatnonzero(hold_out(30_000)).tolist() == list(range(0, 30_000, 20))
    assert np.flatnonzero(hold_out(1_000)).tolist() == list(range(0, 1_000, 4))
    assert np.flatnonzero(hold_out(150_000)).tolist() == list(range(0, 150_000, 75))
    assert np.flatnonzero(hold_out(5)).tolist() == [0, 4]


def test_few_generated_texts_count_as_much_as_the_corpus_and_never_less_than_one_text() -> None:
    importance = text_importance([600, 100, 50], balanced=True)
    assert importance[600:].sum() == pytest.approx(importance[:600].sum()) == 600
    assert (text_importance([50, 100], balanced=True) == 1).all()
    assert (text_importance([600, 100], balanced=False) == 1).all()


def test_importance_counts_a_text_as_if_it_stood_there_so_often(
    shares: TokenShares, matrix: sparse.csr_matrix, targets: Rows, start: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    importance = np.ones(matrix.shape[0], dtype=np.float32)
    importance[:7] = 3
    often = np.concatenate([np.arange(matrix.shape[0]), np.tile(np.arange(7), 2)])
    repeated = solve_ridge(_in_parts(matrix[often], monkeypatch), targets[often], start, 0.1).rows
    counted = solve_ridge(shares, targets, start, 0.1, importance=importance).rows
    assert np.allclose(counted, repeated, atol=0.02)


def test_texts_are_found_whatever_part_they_lie_in(shares: TokenShares, matrix: sparse.csr_matrix) -> None:
    assert len(shares.parts) == 3
    texts = np.array([299, 3, 120, 0, 121])
    np.testing.assert_array_equal(shares.select(texts).toarray(), matrix[texts].toarray())
    np.testing.assert_array_equal(shares.texts_of_entries, matrix.getnnz(axis=0))


def test_tuning_brings_similarities_closer_and_leaves_what_no_text_touches(shares: TokenShares, start: Rows) -> None:
    teacher = np.random.default_rng(5).normal(size=(300, 10)).astype(np.float32)
    tuned, again = start.copy(), start.copy()
    errors = tune_similarities(tuned, shares, teacher, steps=200, seed=0)
    assert np.mean(errors[-9:]) < 0.9 * errors[0]
    np.testing.assert_array_equal(tuned[39], start[39])
    tune_similarities(again, shares, teacher, steps=200, seed=0)
    np.testing.assert_array_equal(tuned, again)


def test_the_gradient_of_the_similarities_is_that_of_finite_differences() -> None:
    random = np.random.default_rng(6)
    means, wanted = random.normal(size=(7, 4)), random.normal(size=(7, 5))
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    _, gradient = similarity_loss(means, wanted)
    shift = np.zeros_like(means)
    shift[2, 1] = 1e-5
    slope = (similarity_loss(means + shift, wanted)[0] - similarity_loss(means - shift, wanted)[0]) / 2e-5
    assert gradient[2, 1] == pytest.approx(50 * slope, rel=1e-4)

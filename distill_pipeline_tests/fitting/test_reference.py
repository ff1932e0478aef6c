"""The fast path gives the rows of the reference, the same fit in plain numpy: each step by itself, and the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from distill_pipeline.chain.home import Home
from distill_pipeline.chain.stages import STAGES
from distill_pipeline.fitting.problem import Problem, TextEmbeddings, build_problem, fit_directions
from distill_pipeline.fitting.reduction import MATRIX
from distill_pipeline.fitting.refining import refine_rows
from distill_pipeline.fitting.ridge import solve_ridge, whiten
from distill_pipeline.fitting.settings import FitSettings, fit_settings
from distill_pipeline.fitting.tuning import tune_similarities
from distill_pipeline.quality.agreement import compare
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import sha256_of
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.vocabulary.vocabulary import Vocabulary, read_vocabulary
from distill_pipeline_tests.fitting import reference
from distill_pipeline_tests.running import Chain
from distill_pipeline_tests.teachers import build_modernbert

Rows = npt.NDArray[np.float64]

KEEP, BATCH, SEED = 8, 128, 0
FLOAT32 = 1e-4
"""Greatest difference, in units of the greatest number. The fast path computes in float32, whose numbers are rounded by
6e-8, adds up hundreds of them, and divides by small second moments and by gaps between variances: 3e-6 was measured."""
AS_SHIPPED = 2e-2
"""The same where the solver stops as it does for users, once the residual is 3e-3 of that at the start: 3e-3."""


@dataclass(frozen=True)
class Small:
    """What the first stages made of a tiny teacher and 300 generated texts, and the problem made of them."""

    vocabulary: Vocabulary
    entries: Embeddings
    sentences: TextEmbeddings
    settings: FitSettings
    problem: Problem
    axes: Rows

    @property
    def A(self) -> Rows:  # noqa: N802
        """The token shares, dense."""
        return self.problem.shares.select(np.arange(self.problem.shares.shape[0])).toarray().astype(np.float64)  # type: ignore[no-any-return]


@pytest.fixture(scope="module", autouse=True)
def exact_and_in_many_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "parallel.ROWS_AT_ONCE": 64,
            "ridge._TOLERANCE": 1e-7,
            "ridge._COLUMNS_AT_ONCE": 4,
            "ridge._FREQUENT": 50,
            "ridge.ROWS_AT_ONCE": 64,
            "problem._TEXTS_AT_ONCE": 32,
            "shares.TEXTS_IN_PART": 128,
            "shares._TEXTS_AT_ONCE": 64,
            "start.ROWS_AT_ONCE": 64,
            "start._TEXTS_AT_ONCE": 64,
            "tuning._COLUMNS_AT_ONCE": 4,
            "tuning._TEXTS_AT_ONCE": 64,
            "tuning._ROWS_AT_ONCE": 64,
            "tuning.TEXTS_PER_STEP": BATCH,
        }.items():
            patch.setattr(f"distill_pipeline.fitting.{name}", value)
        yield


@pytest.fixture(scope="module")
def small(small_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("small")
    teacher = build_modernbert(folder / "teacher", normalize=False)  # lengths that the fit has to take away
    recipe = small_recipe(teacher=str(teacher), pca_dims=KEEP, seed=SEED)
    stages = list(STAGES)[:3]
    with Chain(Home(folder / "home")) as chain:
        chain.run(recipe, stages)
        vocabulary, entries, texts = (chain.output(recipe, stage) for stage in stages)
    made = read_vocabulary(vocabulary.folder), Embeddings.of_parts(entries.folder)
    sentences, settings = TextEmbeddings(Embeddings.of_parts(texts.folder), texts.facts["groups"]), fit_settings(recipe)
    components, _ = fit_directions(sentences, settings)
    problem = build_problem(*made, sentences, components, settings)
    return Small(*made, sentences, settings, problem, components.axes)


def _difference(found: npt.NDArray[np.floating], expected: Rows) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_the_directions_are_those_of_the_covariance_with_their_signs(small: Small) -> None:
    expected, _ = reference.principal_directions(small.sentences.embeddings.all().astype(np.float64))
    assert _difference(small.axes, expected[:, : 2 * KEEP]) < FLOAT32


def test_the_start_is_fitted_to_the_texts_as_in_the_reference(small: Small) -> None:
    entries = reference.unit(small.entries.all().astype(np.float64))
    entries -= entries[small.problem.groups == 0].mean(axis=0)
    curves = reference.hats(small.vocabulary.frequencies, small.problem.groups)
    rows, weights = reference.start(small.A, small.problem.targets.astype(np.float64), entries, small.axes, curves)
    assert _difference(small.problem.start, rows) < FLOAT32
    assert _difference(small.problem.weights, weights) < FLOAT32


@pytest.mark.parametrize("penalty", [0.1, 0.4])
def test_conjugate_gradients_reach_the_direct_solution(small: Small, penalty: float) -> None:
    problem = small.problem
    solution = solve_ridge(problem.shares, problem.targets, problem.start, penalty)
    expected = reference.ridge(small.A, problem.targets.astype(np.float64), problem.start.astype(np.float64), penalty)
    assert _difference(solution.rows, expected) < FLOAT32


def test_the_similarity_steps_move_rows_as_in_the_reference(small: Small) -> None:
    start, wanted = small.problem.start, small.sentences.centred()
    tuned = start.copy()
    tune_similarities(tuned, small.problem.shares, wanted, steps=60, seed=SEED)
    expected = reference.tune(
        start.astype(np.float64), small.A, wanted.astype(np.float64), steps=60, batch=BATCH, seed=SEED
    )
    assert _difference(tuned, expected) < FLOAT32
    assert _difference(start, expected) > 100 * FLOAT32  # far from where they were


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_whitening_cuts_and_scales_as_in_the_reference(small: Small, strength: float) -> None:
    rows = whiten(small.problem.start, small.problem.shares, strength, KEEP)
    expected = reference.whiten(small.problem.start.astype(np.float64), small.A, strength, KEEP)
    assert _difference(rows, expected) < FLOAT32


def test_agreement_is_the_references(small: Small) -> None:
    teacher = small.sentences.embeddings.all()[::4].astype(np.float64)
    student = small.A[::4] @ small.problem.start
    found = compare(teacher, student)
    correlation, overlap = reference.agreement(teacher, student)
    assert (correlation, overlap) == pytest.approx(
        (found["similarity_correlation"], found["neighbour_overlap"]), abs=1e-6
    )


def test_the_penalty_is_the_references_and_no_larger_one_is_tried_than_the_first_that_is_no_better(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    penalties = (0.005, 0.01, 0.03, 0.1, 0.2)
    monkeypatch.setattr(reference, "PENALTIES", penalties)
    settings = replace(small.settings, penalties=penalties)
    facts = refine_rows(small.vocabulary, small.entries, small.sentences, tmp_path, settings)["refinement"]
    problem, teacher = small.problem, small.sentences.embeddings.all().astype(np.float64)
    expected = reference.choose_penalty(
        small.A,
        problem.targets.astype(np.float64),
        problem.start.astype(np.float64),
        teacher,
        strength=small.settings.whitening,
        keep=KEEP,
    )
    assert facts["penalty"] == expected == 0.03
    assert list(facts["agreement_on_held_out_texts"]) == ["0.005", "0.01", "0.03", "0.1"]


def test_the_rows_are_the_same_bytes_whatever_the_number_of_threads(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = set()
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        refine_rows(small.vocabulary, small.entries, small.sentences, tmp_path, small.settings)
        found.add(sha256_of(tmp_path / MATRIX))
    assert len(found) == 1


@pytest.mark.parametrize(("stops_at", "allowed"), [(1e-7, FLOAT32), (3e-3, AS_SHIPPED)])
@pytest.mark.parametrize("refinement", ["generated", "corpus"])
def test_the_whole_fit_gives_the_rows_of_the_reference(
    small: Small,
    small_recipe: Callable[..., Recipe],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    refinement: str,
    stops_at: float,
    allowed: float,
) -> None:
    monkeypatch.setattr("distill_pipeline.fitting.ridge._TOLERANCE", stops_at)
    sentences, settings, differently = small.sentences, small.settings, dict[str, Any]()
    if refinement == "corpus":  # the same texts, 180 of them as if they were passages
        sentences = TextEmbeddings(small.sentences.embeddings, [180, 120])
        settings = fit_settings(small_recipe(pca_dims=KEEP, seed=SEED, refinement="corpus", corpus=["passages.txt"]))
        differently = {"penalty": 0.4, "steps": 0, "importance": np.repeat([1.0, 180 / 120], [180, 120])}
    facts = refine_rows(small.vocabulary, small.entries, sentences, tmp_path, settings)
    expected = reference.fit(
        small.A,
        small.sentences.embeddings.all().astype(np.float64),
        small.entries.all().astype(np.float64),
        p=small.vocabulary.frequencies,
        groups=small.problem.groups,
        kinds=sentences.group_sizes,
        keep=KEEP,
        batch=BATCH,
        seed=SEED,
        **differently,
    )
    assert _difference(Embeddings([tmp_path / MATRIX]).all(), expected) < allowed, facts["refinement"]

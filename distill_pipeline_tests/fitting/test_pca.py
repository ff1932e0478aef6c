"""Principal components: exact, the same for any batching, and bounded in what they accept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from distill_pipeline.errors import RecipeError
from distill_pipeline.fitting.pca import cached_components, fit_principal_components
from distill_pipeline.store.embeddings import Embeddings, embedding_array, part_name, write_table


@pytest.fixture(scope="module")
def rows() -> npt.NDArray[np.float32]:
    random = np.random.default_rng(0)
    return (random.normal(size=(500, 12)) * np.linspace(5, 0.1, 12) + 3).astype(np.float32)


def _batches(rows: npt.NDArray[np.float32], size: int) -> Iterable[npt.NDArray[np.float32]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def test_variances_are_those_of_the_singular_values(rows: npt.NDArray[np.float32]) -> None:
    components = fit_principal_components(lambda: _batches(rows, 64), 5)
    wide = rows.astype(np.float64)
    singular = np.linalg.svd(wide - wide.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(components.variances, singular**2 / (len(rows) - 1), rtol=1e-9)
    scores = components.transform(rows)
    assert scores.shape == (500, 5)
    np.testing.assert_allclose(scores.var(axis=0, ddof=1), components.variances[:5], rtol=1e-9)


def test_the_sign_of_an_axis_is_fixed_by_the_row_farthest_out(rows: npt.NDArray[np.float32]) -> None:
    scores = fit_principal_components(lambda: _batches(rows, 64), 12).transform(rows)
    assert (scores[np.abs(scores).argmax(axis=0), range(12)] > 0).all()
    mirrored = fit_principal_components(lambda: _batches(-rows, 64), 12).transform(-rows)
    assert (mirrored[np.abs(mirrored).argmax(axis=0), range(12)] > 0).all()


def test_a_share_of_variance_keeps_the_fewest_axes_that_explain_it(rows: npt.NDArray[np.float32]) -> None:
    components = fit_principal_components(lambda: _batches(rows, 64), 0.9)
    kept = components.axes.shape[1]
    assert components.explained[kept - 1] >= 0.9 > components.explained[kept - 2]


def test_what_is_remembered_of_rows_changes_no_byte_and_ends_with_their_files(
    rows: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    def write(values: npt.NDArray[np.float32]) -> Embeddings:
        write_table(tmp_path / part_name(0), {"embedding": embedding_array(values)})
        return Embeddings.of_parts(tmp_path)

    source = write(rows)
    for keep in (3, 7):
        known = cached_components(source, keep)
        alone = fit_principal_components(source.batches, keep)
        assert known.axes.tobytes() == alone.axes.tobytes()
        assert known.mean.tobytes() == alone.mean.tobytes()
    assert cached_components(source, 3).mean is cached_components(source, 7).mean
    assert cached_components(write(rows[:100]), 3).rows == 100


def test_more_axes_than_dimensions_or_rows_are_refused(rows: npt.NDArray[np.float32]) -> None:
    with pytest.raises(RecipeError, match="pca_dims=13 exceeds the teacher's 12 dimensions"):
        fit_principal_components(lambda: _batches(rows, 64), 13)
    with pytest.raises(RecipeError, match="needs more than 6 rows"):
        fit_principal_components(lambda: _batches(rows[:6], 64), 10)

"""The map between the teacher's space and the student's: exact where it can be, and one map for both directions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from distill_pipeline.errors import RecipeError
from distill_pipeline.fitting.problem import TextEmbeddings
from distill_pipeline.fitting.projection import Projection, fit_projection, read_projection
from distill_pipeline.fitting.shares import TokenShares, token_shares
from distill_pipeline.quality.agreement import evaluation_texts
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.embeddings import Embeddings, embedding_array, unit_rows, write_table
from distill_pipeline_tests.running import Chain

MakeRecipe = Callable[..., Recipe]
WORDS = [f"word{number}" for number in range(60)]


@pytest.fixture
def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: row for row, word in enumerate(["[UNK]", *WORDS])}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["[UNK]"])
    return made


@pytest.mark.parametrize(("sizes", "most"), [([2000, 2000], 4000), ([2801, 1, 1198], 1500)])
def test_a_linear_relation_is_found_whatever_the_mean_of_each_kind_of_texts(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sizes: list[int], most: int
) -> None:
    monkeypatch.setattr("distill_pipeline.fitting.projection._MAX_TEXTS", most)
    monkeypatch.setattr("distill_pipeline.fitting.shares.TEXTS_IN_PART", 1700)
    random = np.random.default_rng(0)
    rows = random.normal(size=(61, 4)).astype(np.float32)
    rows[0] = 0
    drawn = random.integers(0, 60, (4000, 5))
    lines = [" ".join(WORDS[word] for word in words) for words in drawn]
    means = rows[drawn + 1].mean(axis=1)
    rotated = (
        means @ np.linalg.qr(random.normal(size=(9, 4)))[0].T
        + np.repeat(np.linspace(8, -8, len(sizes)), sizes)[:, None]
    )
    teacher = unit_rows(rotated).astype(np.float32)
    write_table(tmp_path / "part-000000.parquet", {"text": lines, "embedding": embedding_array(teacher)})
    texts = TextEmbeddings(Embeddings.of_parts(tmp_path), sizes)
    blocks = (
        token_shares(tokenizer, lines[first : first + 900], counted=np.arange(61) > 0) for first in range(0, 4000, 900)
    )
    shares = TokenShares.of(blocks, tmp_path)
    assert len(shares.parts) == 3
    projection, found = fit_projection(rows, shares, texts)
    for kind in (slice(0, sizes[0]), slice(4000 - sizes[-1], 4000)):
        wanted = means[kind] - means[kind].mean(axis=0)
        projected = projection.apply(rotated[kind] * 7)  # their length doesn't count
        correlation = np.corrcoef((projected - projected.mean(axis=0)).ravel(), wanted.ravel())[0, 1]
        assert correlation > 0.97
    assert abs(projection.apply(teacher).mean(axis=0)).max() < 1e-5
    assert all(0.15 < share <= 1 for share in found.values()), "by chance it would be 0.12"


def test_both_directions_give_the_same_ranking_and_what_was_written_comes_back(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    projection = Projection(*(random.normal(size=size).astype(np.float32) for size in ((9, 4), (4,))))
    rows, teacher = random.normal(size=(50, 4)).astype(np.float32), unit_rows(random.normal(size=(200, 9)))
    own = rows @ projection.apply(teacher).T
    theirs = projection.rows_in_teacher_space(rows) @ teacher.T
    np.testing.assert_array_equal(own.argsort(axis=1), theirs.argsort(axis=1))
    projection.write(tmp_path)
    back = read_projection(tmp_path)
    assert back is not None
    np.testing.assert_array_equal(back.weights, projection.weights)
    assert read_projection(tmp_path / "nothing") is None


def test_a_student_in_the_teacher_s_space_finds_what_the_projected_documents_give(
    finished: Chain, recipe: MakeRecipe
) -> None:
    from model2vec import StaticModel

    finished.run(recipe(name="other", space="teacher"))
    own, theirs = (finished.home.releases / name for name in ("tiny", "other"))
    texts = evaluation_texts()
    vectors = finished.home.store.manifests("teacher_evaluation")
    [folder] = {folder for folder, _ in vectors}
    teacher = Embeddings.of_parts(folder).all()
    projection = read_projection(own)
    assert projection is not None
    assert read_projection(theirs) is None
    one = StaticModel.from_pretrained(own).encode(texts).astype(np.float64) @ projection.apply(teacher).T
    other = StaticModel.from_pretrained(theirs).encode(texts).astype(np.float64) @ unit_rows(teacher).T
    for a, b in zip(one, other, strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.999


def test_a_student_without_texts_cant_be_mapped(recipe: MakeRecipe) -> None:
    with pytest.raises(RecipeError, match="space=teacher needs the refinement's texts"):
        recipe(space="teacher", refinement="none")

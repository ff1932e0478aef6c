"""The variant router: the student's queries and the teacher's documents in one package of sentence_transformers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from distill_pipeline.fitting.projection import PROJECTION, read_projection
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.release.variants import VariantError, write_variant
from distill_pipeline.release.verify import verify
from distill_pipeline.store.disk import sha256_of
from distill_pipeline.student.folder import read_golden
from distill_pipeline_tests.release.student import make_release
from distill_pipeline_tests.running import Chain

TEXTS = ["The owl hunts mice at night.", "Shares fell sharply."]


@pytest.mark.parametrize("space", ["own", "teacher"])
def test_queries_are_the_student_s_and_documents_the_teacher_s(
    finished: Chain, recipe: Callable[..., Recipe], space: str
) -> None:
    from sentence_transformers import SentenceTransformer

    made = recipe(space=space, variants="router", prompt="about: ")
    assert finished.run(made).success
    release = finished.home.releases / "tiny"
    router = SentenceTransformer(str(release / "router"), device="cpu")
    texts, golden = read_golden(release)
    np.testing.assert_allclose(router.encode_query(texts), golden, atol=2e-3)
    teacher = SentenceTransformer(made.teacher, device="cpu").encode(TEXTS, prompt="about: ", normalize_embeddings=True)
    projection = read_projection(release)
    assert (projection is None) == (space == "teacher")
    expected = projection.apply(teacher) if projection else teacher
    np.testing.assert_allclose(router.encode_document(TEXTS), expected, atol=1e-4)
    assert router.similarity_fn_name == "dot"
    assert verify(release).variants["router"] < 1e-5
    card = (release / "README.md").read_text(encoding="utf-8")
    assert "## With the teacher's documents" in card
    assert (space == "own") == (PROJECTION in card)
    if projection:
        assert sha256_of(release / PROJECTION) in card


def test_a_router_without_its_teacher_is_refused(finished: Chain) -> None:
    with pytest.raises(VariantError, match="router needs the teacher"):
        write_variant(finished.home.releases / "tiny", "router")


def test_a_student_that_no_map_was_fitted_to_has_no_passage_about_the_teacher_s_documents(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = make_release(tmp_path_factory.mktemp("release") / "a")
    assert "With the teacher's documents" not in (folder / "README.md").read_text(encoding="utf-8")

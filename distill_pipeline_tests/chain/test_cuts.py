"""What a student keeps with fewer dimensions: figures of the very student that model2vec reads with as many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from model2vec import StaticModel
from rich.filesize import decimal

from distill_pipeline.chain.cuts import student_cuts
from distill_pipeline.quality.agreement import compare, evaluation_texts
from distill_pipeline.quality.labelled import score_sets
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline_tests.chain.filled import keys_of
from distill_pipeline_tests.running import Chain


def test_the_card_says_what_fewer_dimensions_keep(
    finished: Chain, recipe: Callable[..., Recipe], modernbert: Path, tmp_path: Path
) -> None:
    pairs = "sentence1\tsentence2\tscore\na red owl\tan owl\t4\nthe owl\ta share\t1\nmice at night\tnight\t3\n"
    (tmp_path / "pairs.tsv").write_text(pairs)
    made = recipe(pca_dims=16, labelled_sets=[f"pairs:{tmp_path / 'pairs.tsv'}"], variants=["dims-8", "int8"])
    finished.run(made)
    released, texts = finished.home.releases / made.name, evaluation_texts()
    fewer = StaticModel.from_pretrained(released, dimensionality=8)
    from sentence_transformers import SentenceTransformer

    teacher = SentenceTransformer(str(modernbert)).encode(texts)
    [cut] = student_cuts(finished.home.store, made, keys_of(finished.home, made))
    assert cut["dimensions"] == 8
    assert cut["score"] == score_sets(made.labelled_sets, fewer.encode)[0]["score"]
    wanted = compare(teacher, np.asarray(fewer.encode(texts)))
    assert abs(cut["similarity_correlation"] - wanted["similarity_correlation"]) < 0.01
    card = (released / "README.md").read_text(encoding="utf-8")
    section = card.partition("## Smaller")[2].partition("\n## ")[0]
    lines = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")]
    sizes = {(row[0].removeprefix("| "), place): row[place] for row in lines for place in (1, 2)}
    for folder, place in ((released / "dims-8", ("8", 1)), (released / "int8", ("16", 2))):
        header = 8 + int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")
        assert decimal((folder / "model.safetensors").stat().st_size - header) == sizes[place]


def test_dimensions_without_an_order_are_not_cut(finished: Chain, recipe: Callable[..., Recipe]) -> None:
    made = recipe(pca_dims=16, space="teacher")
    finished.run(made)
    assert student_cuts(finished.home.store, made, keys_of(finished.home, made)) == []
    assert "## Smaller" not in (finished.home.releases / made.name / "README.md").read_text(encoding="utf-8")

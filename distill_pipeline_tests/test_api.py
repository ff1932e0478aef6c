"""From Python: a recipe in, what was made out; a second recipe in the same process, and errors as such."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json, sys
import pytest
from distill_pipeline import Recipe, distill
from distill_pipeline.errors import DistillError
from distill_pipeline_tests.shortened import do_less

do_less(pytest.MonkeyPatch())
small = {"teacher": sys.argv[1], "refinement": "none", "vocabulary_words": 100, "compare_with_model2vec": False,
         "labelled_sets": (), "precision": "float32", "min_similarity_correlation": -1}
runs = [distill(Recipe(pca_dims=dims, **small)) for dims in (8, 4, 4)]
try:
    distill(Recipe(pca_dims=999, **small))
except DistillError as error:
    refused = str(error)
print(json.dumps([[str(run.folder), dict(run.figures), dict(run.cache)] for run in runs] + [refused]))
"""


def test_recipes_are_distilled_one_after_another_and_cached(bert: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"DISTILL_HOME", "DAGSTER_HOME"}}
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM, str(bert)], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    first, second, again, refused = json.loads(ended.stdout.splitlines()[-1])
    assert first[0] == str(tmp_path / ".distill" / "releases" / f"{bert.name}-8")
    assert Path(second[0], "model.safetensors").is_file()
    assert 0 < second[1]["student_bytes"] < first[1]["student_bytes"]
    assert -1 <= first[1]["similarity_correlation"] <= 1
    assert set(first[2].values()) == {"computed"}
    assert second[2]["token_embeddings"] == "hit"
    assert set(again[2].values()) == {"hit"}
    assert "pca_dims=999 exceeds the teacher's" in refused

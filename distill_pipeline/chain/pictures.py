"""A stage's pictures: drawn from stored outputs when someone looks or releases, and stored beside them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from distill_pipeline.chain.stages import pictures_key
from distill_pipeline.figures.pictures import Pictures, draw_quality, draw_rows, draw_words
from distill_pipeline.fitting.reduction import read_matrix
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.store.keys import StageKey
from distill_pipeline.store.local import Log, Store, upstream_output
from distill_pipeline.store.output import Output
from distill_pipeline.student.files import FIGURES, REPORT
from distill_pipeline.vocabulary.vocabulary import read_vocabulary

PAIRS = "pairs.parquet"
"""In the quality report's output: a sample of pairs of texts, with both sides' cosine similarity (teacher, student)."""

_Outputs = Callable[[str], Output]
"""Returns the output of a stage of the recipe."""


def stage_pictures(
    store: Store,
    recipe_name: str,
    keys: Mapping[str, StageKey],
    stage: str,
    *,
    force: bool = False,
    log: Log = lambda _: None,
) -> Path:
    """Return the folder whose folder `figures` holds the pictures of a stage in `PICTURED`; drawn unless it exists.

    Raises:
        StoreError: An output that they show is missing from the store or damaged.
    """

    def make(folder: Path) -> Mapping[str, object]:
        write_pictures(folder, _DRAWN[stage](lambda name: upstream_output(store, recipe_name, keys[name])))
        return {}

    return store.get_or_make(pictures_key(keys[stage]), make, force=force, log=log)[0].folder


def write_pictures(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Write PNG files, given by name without suffix, into a folder's folder `figures`."""
    (folder / FIGURES).mkdir(exist_ok=True)
    for name, content in pictures.items():
        (folder / FIGURES / f"{name}.png").write_bytes(content)


def _of_matrix(outputs: _Outputs) -> Pictures:
    matrix, vocabulary = outputs("student_matrix"), read_vocabulary(outputs("vocabulary").folder)
    entries = Embeddings.of_parts(outputs("token_embeddings").folder)
    return draw_rows(vocabulary, entries, matrix.folder, matrix.facts)


def _of_model(outputs: _Outputs) -> Pictures:
    return draw_words(read_vocabulary(outputs("vocabulary").folder), read_matrix(outputs("student_matrix").folder))


def _of_report(outputs: _Outputs) -> Pictures:
    folder = outputs("quality_report").folder
    pairs = pq.read_table(folder / PAIRS)
    sides = (np.asarray(pairs[side]) for side in ("teacher", "student"))
    return draw_quality(json.loads((folder / REPORT).read_text(encoding="utf-8")), *sides)


_DRAWN = {"student_matrix": _of_matrix, "static_model": _of_model, "quality_report": _of_report}

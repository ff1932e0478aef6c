"""The baseline of a student: what `model2vec.distill` makes of the same teacher in the same number of dimensions.

A recipe with `preset: model2vec` is made in float32 of all of the teacher's tokens. The baseline takes the teacher's
rows from those that the student's own vocabulary has already, so they are in its precision.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from distill_pipeline.chain.stages import model2vec_evaluation_key, stage_keys
from distill_pipeline.fitting.parallel import slices
from distill_pipeline.fitting.pca import fit_principal_components
from distill_pipeline.fitting.weightings import SIF_COEFFICIENTS, sif_weights
from distill_pipeline.recipe.presets import PRESETS
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.embeddings import Embeddings, unit_rows
from distill_pipeline.store.keys import StageKey
from distill_pipeline.vocabulary.frequencies import zipf_probabilities
from distill_pipeline.vocabulary.vocabulary import TeacherEntries, read_vocabulary

Rows = npt.NDArray[np.float32]
EncodeIds = Callable[[Sequence[Sequence[int]]], Rows]

_SHARED = {"name", "teacher", "revision", "trust_remote_code", "allow_pickled_weights", "device", "patience_seconds"}
_SAMPLE = 64
_BLOCK = 8192
_MIN_COSINE, _MAX_LENGTHENING = 0.999, 0.02


def baseline_recipe(recipe: Recipe, dimensions: int) -> Recipe:
    """Return the recipe of the preset `model2vec` for a recipe's teacher, with at most the teacher's dimensions."""
    fields = {**PRESETS["model2vec"], "pca_dims": dimensions, **recipe.model_dump(include=_SHARED)}
    return Recipe.model_validate(fields)


def baseline_key(recipe: Recipe, teacher_identity: Mapping[str, str], dimensions: int) -> StageKey | None:
    """Return the key of the baseline's evaluation beside the recipe's `quality_report`.

    None when the recipe asks for no baseline, or makes exactly that student.
    """
    if not recipe.compare_with_model2vec:
        return None
    keys = stage_keys(recipe, teacher_identity)
    if stage_keys(baseline_recipe(recipe, dimensions), teacher_identity)["static_model"] == keys["static_model"]:
        return None
    return model2vec_evaluation_key(keys["quality_report"], keys["token_embeddings"], dimensions)


def baseline_record(recipe_name: str) -> str:
    """Return the name under which the store records a recipe's baseline, so that `gc` keeps it."""
    return f"{recipe_name}/model2vec"


def baseline_rows(
    entries: TeacherEntries, vocabulary: Path, embeddings: Path, encode: EncodeIds
) -> npt.NDArray[np.float16]:
    """Return the rows of model2vec's student on all principal axes, (entries, dims); fewer are the first of them.

    Args:
        entries: The teacher's own.
        vocabulary: The folder of the student's vocabulary.
        embeddings: The folder of the teacher's rows of it.
        encode: Gives the teacher's rows of token ids with mean pooling, for those that aren't there.
    """
    rows = _gather(entries.teacher_ids, vocabulary, embeddings, encode)
    blocks = slices(len(rows), _BLOCK)
    components = fit_principal_components(lambda: (rows[block] for block in blocks), "auto")
    weights = sif_weights(zipf_probabilities(len(rows)), SIF_COEFFICIENTS["zipf"])
    reduced = np.empty(rows.shape, dtype=np.float16)
    for block in blocks:
        reduced[block] = components.transform(rows[block]) * weights[block, None]
    return reduced


def _gather(wanted: Sequence[Sequence[int]], vocabulary: Path, embeddings: Path, encode: EncodeIds) -> Rows:
    """Return a row for each sequence of ids: the stored one, where it is the same as with mean pooling."""
    place = {tuple(ids): row for row, ids in enumerate(read_vocabulary(vocabulary).teacher_ids)}
    found = [place.get(tuple(ids), -1) for ids in wanted]
    stored = np.flatnonzero(np.array(found) >= 0)
    sample = stored[:: max(1, len(stored) // _SAMPLE)]
    known = _read_rows(embeddings)[[found[row] for row in stored]] if len(stored) else np.empty((0, 0), np.float32)
    missing = np.setdiff1d(np.arange(len(wanted)), stored)
    fresh = encode([wanted[row] for row in (*sample, *missing)])
    if not _alike(known[:: max(1, len(stored) // _SAMPLE)], fresh[: len(sample)]):
        return encode(wanted)
    rows = np.empty((len(wanted), fresh.shape[1]), dtype=np.float32)
    rows[stored], rows[missing] = known, fresh[len(sample) :]
    return rows


def _alike(stored: Rows, fresh: Rows) -> bool:
    """Whether stored rows are what mean pooling gives, but for precision: the teacher may pool otherwise."""
    if not len(stored) or stored.shape != fresh.shape:
        return False
    cosines = (unit_rows(stored) * unit_rows(fresh)).sum(axis=1)
    lengths = np.linalg.norm(stored, axis=1) / np.linalg.norm(fresh, axis=1)
    return bool(cosines.min() > _MIN_COSINE and np.abs(lengths - 1).max() < _MAX_LENGTHENING)


def _read_rows(folder: Path) -> Rows:
    """Return the teacher's rows as long as they are before it makes their length 1."""
    embeddings = Embeddings.of_parts(folder)
    rows = embeddings.all()
    if "length" in pq.read_schema(embeddings.paths[0]).names:
        lengths = [pq.read_table(path, columns=["length"])["length"].to_numpy() for path in embeddings.paths]
        rows *= np.concatenate(lengths)[:, None]
    return rows

"""From the teacher's rows to the student's: fewer dimensions, then a weight for each row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from distill_pipeline.distillation.parts import Embeddings, embedding_array, write_table
from distill_pipeline.distillation.pca import Batches, PrincipalComponents, fit_principal_components
from distill_pipeline.recipe import RecipeError

MATRIX = "matrix.parquet"
CLUSTERS = "clusters.parquet"


@dataclass(frozen=True)
class Reduced:
    """The student's rows.

    Attributes:
        embeddings: float32 (rows, dims), each row times its weight: what a text's mean is taken of.
        weights: float32 (rows,).
        clusters: int32 (rows,) and float32 (clusters, dims) without weights, when rows share vectors.
    """

    embeddings: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    clusters: tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]] | None = None


def reduce_rows(
    source: Embeddings,
    folder: Path,
    *,
    weights: npt.NDArray[np.float64],
    pca_dims: int | float | str | None,
    clusters: int | None,
) -> dict[str, Any]:
    """Reduce and weight the rows and write `matrix.parquet` (row, embedding, weight).

    With `clusters`, k-means replaces the teacher's rows by their centroids first, as
    `model2vec.distill(vocabulary_quantization=...)` does, and `clusters.parquet` holds them reduced.

    Args:
        source: The teacher's embeddings of the entries.
        folder: Where to write.
        weights: The rows', float64 (rows,).
        pca_dims: Directions to keep, see `fit_principal_components`; None keeps the teacher's axes.
        clusters: Number of centroids that the rows share, or None.

    Returns:
        Facts: rows, dimensions, explained variance by direction.
    """
    assignment: npt.NDArray[np.int32] | None = None
    batches: Batches = source.batches
    if clusters is not None:
        centroids, assignment = _k_means(source.all(), clusters)
        batches = lambda: iter([centroids])  # noqa: E731
    components = None
    if pca_dims is not None:
        spread = source.spread() if clusters is None else None
        components = fit_principal_components(batches, pca_dims, spread=spread)
    if assignment is None:
        _write_matrix(folder, source, components, weights)
    else:
        _write_clustered(folder, centroids, components, assignment, weights)
    dimensions = source.dimensions if components is None else components.axes.shape[1]
    facts: dict[str, Any] = {
        "rows": source.rows,
        "dimensions": dimensions,
        "teacher_dimensions": source.dimensions,
    }
    if components is not None:
        facts["explained_variance"] = float(components.explained[dimensions - 1])
        facts["cumulative_variance"] = [round(float(share), 6) for share in components.explained]
    return facts


def _write_matrix(
    folder: Path, source: Embeddings, components: PrincipalComponents | None, weights: npt.NDArray[np.float64]
) -> None:
    dimensions = source.dimensions if components is None else components.axes.shape[1]
    schema = pa.schema(
        [("row", pa.int32()), ("embedding", pa.list_(pa.float32(), dimensions)), ("weight", pa.float32())]
    )
    first = 0
    with pq.ParquetWriter(
        folder / MATRIX, schema, compression="none", use_dictionary=False, write_statistics=False
    ) as writer:
        for batch in source.batches():
            rows = batch.astype(np.float64) if components is None else components.transform(batch)
            weight = weights[first : first + len(rows)]
            columns = {
                "row": np.arange(first, first + len(rows), dtype=np.int32),
                "embedding": embedding_array((rows * weight[:, None]).astype(np.float32)),
                "weight": weight.astype(np.float32),
            }
            writer.write_table(pa.table(columns, schema=schema))
            first += len(rows)


def _write_clustered(
    folder: Path,
    centroids: npt.NDArray[np.float32],
    components: PrincipalComponents | None,
    assignment: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float64],
) -> None:
    reduced = centroids.astype(np.float64) if components is None else components.transform(centroids)
    write_table(
        folder / CLUSTERS,
        {
            "cluster": np.arange(len(reduced), dtype=np.int32),
            "embedding": embedding_array(reduced.astype(np.float32)),
        },
    )
    rows = reduced[assignment] * weights[:, None]
    write_table(
        folder / MATRIX,
        {
            "row": np.arange(len(rows), dtype=np.int32),
            "embedding": embedding_array(rows.astype(np.float32)),
            "weight": weights.astype(np.float32),
            "cluster": assignment,
        },
    )


def _k_means(rows: npt.NDArray[np.float32], clusters: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    if clusters >= len(rows):
        raise RecipeError(f"vocabulary_quantization={clusters} needs more than the {len(rows)} rows of this vocabulary")
    from model2vec.vocabulary_quantization import quantize_vocabulary

    centroids, assignment, _ = quantize_vocabulary(clusters, np.ones(len(rows)), rows)
    return centroids.astype(np.float32), assignment.astype(np.int32)


def write_matrix(
    folder: Path, rows: npt.NDArray[np.float32], weights: npt.NDArray[np.float32], clusters: int | None
) -> None:
    """Write finished rows and their weights; with `clusters`, unit rows share centroids and keep their lengths."""
    if clusters is None:
        numbers = np.arange(len(rows), dtype=np.int32)
        write_table(folder / MATRIX, {"row": numbers, "embedding": embedding_array(rows), "weight": weights})
        return
    lengths = np.linalg.norm(rows, axis=1)
    unit = rows / np.maximum(lengths, 1e-12)[:, None]
    centroids, assignment = _k_means(unit, clusters)
    _write_clustered(folder, centroids, None, assignment, lengths.astype(np.float64))


def read_reduced(folder: Path) -> Reduced:
    """Read what `reduce_rows` wrote."""
    matrix = Embeddings([folder / MATRIX]).all()
    weights = read_weights(folder)
    if not (folder / CLUSTERS).exists():
        return Reduced(matrix, weights)
    assignment = pq.read_table(folder / MATRIX, columns=["cluster"])["cluster"].to_numpy()
    return Reduced(matrix, weights, (assignment, Embeddings([folder / CLUSTERS]).all()))


def read_weights(folder: Path) -> npt.NDArray[np.float32]:
    """Read the rows' weights alone, (rows,)."""
    weights: npt.NDArray[np.float32] = pq.read_table(folder / MATRIX, columns=["weight"])["weight"].to_numpy()
    return weights

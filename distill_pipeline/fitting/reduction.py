"""From the teacher's rows to the student's: fewer dimensions, then a weight for each row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from distill_pipeline.fitting.pca import PrincipalComponents, cached_decomposition, fit_principal_components
from distill_pipeline.store.embeddings import Embeddings, embedding_array, write_table

MATRIX = "matrix.parquet"


@dataclass(frozen=True)
class Reduced:
    """The student's rows.

    Attributes:
        embeddings: float32 (rows, dims), each row times its weight: what a text's mean is taken of.
        weights: float32 (rows,).
    """

    embeddings: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


def reduce_rows(
    source: Embeddings, folder: Path, *, weights: npt.NDArray[np.float64], pca_dims: int | float | str | None
) -> dict[str, Any]:
    """Reduce and weight the rows and write `matrix.parquet` (row, embedding, weight).

    Args:
        source: The teacher's embeddings of the entries.
        folder: Where to write.
        weights: The rows', float64 (rows,).
        pca_dims: Directions to keep, see `fit_principal_components`; None keeps the teacher's axes.

    Returns:
        Facts: rows, dimensions, explained variance by direction.
    """
    components = None
    if pca_dims is not None:
        components = fit_principal_components(source.batches, pca_dims, spread=cached_decomposition(source))
    _write_matrix(folder, source, components, weights)
    dimensions = source.dimensions if components is None else components.axes.shape[1]
    facts: dict[str, Any] = {"rows": source.rows, "dimensions": dimensions, "teacher_dimensions": source.dimensions}
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


def write_matrix(folder: Path, rows: npt.NDArray[np.float32], weights: npt.NDArray[np.float32]) -> None:
    """Write finished rows, float32 (rows, dims), and their weights, float32 (rows,)."""
    numbers = np.arange(len(rows), dtype=np.int32)
    write_table(folder / MATRIX, {"row": numbers, "embedding": embedding_array(rows), "weight": weights})


def read_reduced(folder: Path) -> Reduced:
    """Read what `reduce_rows` wrote."""
    return Reduced(Embeddings([folder / MATRIX]).all(), read_weights(folder))


def read_weights(folder: Path) -> npt.NDArray[np.float32]:
    """Read the rows' weights alone, (rows,)."""
    weights: npt.NDArray[np.float32] = pq.read_table(folder / MATRIX, columns=["weight"])["weight"].to_numpy()
    return weights

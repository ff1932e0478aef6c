"""From the teacher's rows to the student's: fewer dimensions, and a weight for each row."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from distill_pipeline.fitting.parallel import in_order, one_blas_thread
from distill_pipeline.fitting.pca import cached_components
from distill_pipeline.store.embeddings import Embeddings, embedding_array, write_table

MATRIX = "matrix.parquet"


@one_blas_thread
def reduce_rows(
    source: Embeddings, folder: Path, *, weights: npt.NDArray[np.float64], pca_dims: int | float | str | None
) -> dict[str, Any]:
    """Reduce and weight the teacher's rows and write `matrix.parquet` (row, embedding, weight), a batch at a time.

    `weights` are float64 (rows,); `pca_dims` as in `fit_principal_components`, or None to keep the teacher's axes.

    Returns:
        Facts: rows, dimensions, explained variance by direction.
    """
    components, dimensions, variance = None, source.dimensions, dict[str, Any]()
    if pca_dims is not None:
        components = cached_components(source, pca_dims)
        dimensions = components.axes.shape[1]
        variance["explained_variance"] = float(components.explained[dimensions - 1])
        variance["cumulative_variance"] = [round(float(share), 6) for share in components.explained]
    schema = pa.schema(
        [("row", pa.int32()), ("embedding", pa.list_(pa.float32(), dimensions)), ("weight", pa.float32())]
    )
    options: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    first = 0
    with pq.ParquetWriter(folder / MATRIX, schema, **options) as writer:
        transform = components.transform if components else lambda batch: batch.astype(np.float64)
        for rows in in_order(transform, source.batches()):
            weight = weights[first : first + len(rows)]
            columns = {
                "row": np.arange(first, first + len(rows), dtype=np.int32),
                "embedding": embedding_array((rows * weight[:, None]).astype(np.float32)),
                "weight": weight.astype(np.float32),
            }
            writer.write_table(pa.table(columns, schema=schema))
            first += len(rows)
    return {"rows": source.rows, "dimensions": dimensions, "teacher_dimensions": source.dimensions, **variance}


def write_matrix(folder: Path, rows: npt.NDArray[np.float32], weights: npt.NDArray[np.float32]) -> None:
    """Write finished rows, float32 (rows, dims), and their weights, float32 (rows,)."""
    numbers = np.arange(len(rows), dtype=np.int32)
    write_table(folder / MATRIX, {"row": numbers, "embedding": embedding_array(rows), "weight": weights})


def read_matrix(folder: Path) -> npt.NDArray[np.float32]:
    """Return the student's rows, each times its weight, float32 (rows, dims)."""
    return Embeddings([folder / MATRIX]).all()


def read_weights(folder: Path) -> npt.NDArray[np.float32]:
    """Return the rows' weights, float32 (rows,)."""
    weights: npt.NDArray[np.float32] = pq.read_table(folder / MATRIX, columns=["weight"])["weight"].to_numpy()
    return weights

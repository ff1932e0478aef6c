"""Seconds and memory of reduction and weighting at 50 thousand, 250 thousand and a million rows of 768 numbers.

Ours alone: `model2vec` holds all rows several times over. Each size is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.machine import anonymous_peak, in_own_process, report
from distill_pipeline.fitting.reduction import reduce_rows
from distill_pipeline.fitting.weightings import sif_weights
from distill_pipeline.store.embeddings import Embeddings, embedding_array, part_name, write_table
from distill_pipeline.vocabulary.frequencies import zipf_probabilities

T = TypeVar("T")

DIMENSIONS = 768
ROWS_PER_PART = 8192


def write_rows(folder: Path, rows: int) -> None:
    """Write parts of random rows whose directions differ in strength."""
    strengths = (1 / np.sqrt(1 + np.arange(DIMENSIONS))).astype(np.float32)
    for number, first in enumerate(range(0, rows, ROWS_PER_PART)):
        count = min(ROWS_PER_PART, rows - first)
        random = np.random.default_rng(number)
        part = random.standard_normal((count, DIMENSIONS), dtype=np.float32) * strengths
        label = np.arange(first, first + count, dtype=np.int32)
        write_table(folder / part_name(number), {"row": label, "embedding": embedding_array(part)})


def measure(work: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """Return the result of some work, its seconds, and this process's anonymous memory before it and at its peak."""
    with anonymous_peak() as peak:
        before, started = peak(), time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        highest = peak()
    memory = {"MB before": round(before), "peak MB": round(highest), "growth MB": round(highest - before)}
    return result, {"seconds": round(seconds, 2), **memory}


def reduce_once(rows: int) -> dict[str, Any]:
    """Reduce so many rows to 256 dimensions with Zipf weights."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "rows", Path(folder) / "reduced"
        source.mkdir()
        target.mkdir()
        write_rows(source, rows)

        def reduce() -> object:
            weights = sif_weights(zipf_probabilities(rows), 1e-4)
            return reduce_rows(Embeddings.of_parts(source), target, weights=weights, pca_dims=256)

        _, cost = measure(reduce)
    return {"rows": rows, "rows/s": round(rows / cost["seconds"]), **cost}


def main() -> None:
    """Measure each size, or be one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 250_000, 1_000_000])
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(reduce_once(options.alone)))
        return
    lines = [in_own_process(__file__, ["--alone", str(rows)]) for rows in options.rows]
    report("reduce", lines, dimensions=DIMENSIONS, kept=256)


if __name__ == "__main__":
    main()

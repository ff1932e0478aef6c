"""What a student keeps with fewer of its dimensions, the leading ones: half of them, and a quarter."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from distill_pipeline.quality.agreement import Encode, Rows, compare
from distill_pipeline.quality.labelled import is_mteb, score_sets

_LEAST = 8
"""Dimensions: what fewer keep is of no use."""


def score_cuts(
    encode: Encode, dimensions: int, texts: Sequence[str], teacher_vectors: Rows, sets: Sequence[str]
) -> list[dict[str, Any]]:
    """Return, for each cut, `dimensions`, the measures of `compare` and `score`: the mean over the labelled sets.

    MTEB's tasks, which take long, are left out; without other sets the score is None.

    Args:
        encode: The student's.
        dimensions: Those of the student.
        texts: To compare on.
        teacher_vectors: Of the texts, (texts, dims).
        sets: Names of labelled sets.
    """
    own = [name for name in sets if not is_mteb(name)]
    cuts = [dims for dims in (dimensions // 2, dimensions // 4) if dims >= _LEAST]
    found = []
    for dims in cuts:

        def leading(texts: Sequence[str], dims: int = dims) -> Rows:
            return np.asarray(encode(texts))[:, :dims]

        scores = [entry["score"] for entry in score_sets(own, leading)]
        mean = round(sum(scores) / len(scores), 6) if scores else None
        found.append({"dimensions": dims, **compare(teacher_vectors, leading(texts)), "score": mean})
    return found

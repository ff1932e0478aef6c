"""Nearest texts by cosine similarity, and the time to find them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill_pipeline.quality.agreement import Encode
from distill_pipeline.store.embeddings import unit_rows


@dataclass(frozen=True)
class Neighbours:
    """The index and cosine similarity of each text found for a query, nearest first, and the seconds spent."""

    found: list[tuple[int, float]]
    encode_seconds: float
    search_seconds: float


class Index:
    """The embeddings of texts, in memory as float32 at unit length; encoding them took `seconds`."""

    def __init__(self, encode: Encode, texts: Sequence[str]) -> None:
        self._encode = encode
        encode(texts[:1])  # to warm up
        started = time.monotonic()
        self._rows: npt.NDArray[np.float32] = unit_rows(np.asarray(encode(texts))).astype(np.float32)
        self.seconds = time.monotonic() - started

    @property
    def texts(self) -> int:
        """Number of texts."""
        return len(self._rows)

    @property
    def texts_per_second(self) -> float:
        """Speed at which the texts were encoded."""
        return len(self._rows) / max(self.seconds, 1e-9)

    def nearest(self, query: str, count: int) -> Neighbours:
        """Return the `count` texts nearest to a query, or all if there are fewer."""
        started = time.perf_counter()
        row = unit_rows(np.asarray(self._encode([query])))[0].astype(np.float32)
        encoded = time.perf_counter()
        similarities = self._rows @ row
        count = min(count, len(similarities))
        nearest = np.argpartition(-similarities, count - 1)[:count]
        order = nearest[np.lexsort((nearest, -similarities[nearest]))]
        searched = time.perf_counter()
        found = [(int(index), float(similarities[index])) for index in order]
        return Neighbours(found, encoded - started, searched - encoded)

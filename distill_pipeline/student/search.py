"""Nearest texts by cosine similarity, and how long it takes to find them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distill_pipeline.quality.agreement import Encode
from distill_pipeline.store.embeddings import unit_rows


@dataclass(frozen=True)
class Neighbours:
    """What was found for a query.

    Attributes:
        found: Number of each text and its cosine similarity, the nearest first.
        encode_seconds: Spent on the query's embedding.
        search_seconds: Spent on comparing it with all texts.
    """

    found: list[tuple[int, float]]
    encode_seconds: float
    search_seconds: float


class Index:
    """The embeddings of some texts, all in memory as float32 at unit length.

    Args:
        encode: Encodes texts; called once beforehand, so that its warming up isn't counted.
        texts: What to search in.
    """

    def __init__(self, encode: Encode, texts: Sequence[str]) -> None:
        self._encode = encode
        encode(texts[:1])
        started = time.monotonic()
        self._rows: npt.NDArray[np.float32] = unit_rows(np.asarray(encode(texts))).astype(np.float32)
        self.seconds = time.monotonic() - started
        """Spent on encoding the texts."""

    @property
    def texts(self) -> int:
        """How many texts are searched."""
        return len(self._rows)

    @property
    def texts_per_second(self) -> float:
        """At which the texts were encoded."""
        return len(self._rows) / max(self.seconds, 1e-9)

    def nearest(self, query: str, count: int) -> Neighbours:
        """Find the `count` nearest texts of a query, or all when there are fewer."""
        started = time.perf_counter()
        row = unit_rows(np.asarray(self._encode([query])))[0].astype(np.float32)
        encoded = time.perf_counter()
        similarities = self._rows @ row
        count = min(count, len(similarities))
        among = np.argpartition(-similarities, count - 1)[:count]
        order = among[np.lexsort((among, -similarities[among]))]
        searched = time.perf_counter()
        found = [(int(number), float(similarities[number])) for number in order]
        return Neighbours(found, encoded - started, searched - encoded)

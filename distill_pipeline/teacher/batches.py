"""Batches for a teacher: sequences of one length, run in parallel, and halved when a GPU's memory runs out."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, islice
from threading import Lock
from typing import Self

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import TeacherError
from distill_pipeline.teacher.hardware import tokens_per_batch, workers
from distill_pipeline.teacher.teacher import Teacher


@dataclass(frozen=True)
class Progress:
    """The rows of a stage that are done, and the pace; 0 before the first row of this run."""

    done: int
    total: int
    per_second: float

    def __str__(self) -> str:
        rows = f"{self.done:,}/{self.total:,} rows"
        if not self.per_second:
            return f"{rows} are already encoded"
        return f"{rows}, {self.per_second:,.0f} rows/s, {(self.total - self.done) / self.per_second:,.0f} s left"


Report = Callable[[Progress], None]


def progress_counter(kept: int, total: int, report: Report) -> Callable[[int], None]:
    """Return a function that adds to the rows done and reports progress.

    Rows kept from an earlier attempt are reported at once; they count as done, but not as speed.
    """
    done, started = kept, time.monotonic()
    if kept:
        report(Progress(kept, total, 0))

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        report(Progress(done, total, (done - kept) / max(time.monotonic() - started, 1e-9)))

    return advance


def batches_of_one_length(sequences: Sequence[Sequence[int]], token_budget: int) -> Iterator[list[int]]:
    """Yield batches, longest sequences first: the positions of sequences of one length, within the budget of tokens.

    A sequence that is longer than the budget is a batch by itself. Empty sequences are in no batch.
    """
    filled = (position for position, sequence in enumerate(sequences) if len(sequence))
    order = sorted(filled, key=lambda position: -len(sequences[position]))
    for length, positions in groupby(order, lambda position: len(sequences[position])):
        while batch := list(islice(positions, max(1, token_budget // length))):
            yield batch


class Encoding:
    """The rows of sequences whose batches are being encoded, filled in as batches finish."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.batches: list[Future[int]] = []
        self._rows = np.empty((count, 0), dtype=np.float32)
        self._lock = Lock()

    def put(self, positions: list[int], encoded: npt.NDArray[np.float32]) -> int:
        """Store a batch's rows, float32 (n, dims), at these positions; return n."""
        with self._lock:
            if not self._rows.size:
                self._rows = np.zeros((self.count, encoded.shape[1]), dtype=np.float32)
        self._rows[positions] = encoded
        return len(encoded)

    def rows(self, advance: Callable[[int], None]) -> npt.NDArray[np.float32]:
        """Wait for all rows and return them in order, float32 (n, dims); those of empty sequences are zero.

        `advance` is called with the number of rows of each finished batch.

        Raises:
            TeacherError: A batch failed.
        """
        for finished in as_completed(self.batches):
            advance(finished.result())
        return self._rows


class BatchEncoder(ExitStack[bool | None]):
    """Runs a teacher over several batches in parallel, inside a `with` block."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher
        self.token_budget = tokens_per_batch(teacher.backbone.config, teacher.device)
        self._lock = Lock()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self.enter_context(workers(self.teacher.device)), thread_name_prefix="encode")
        self.callback(self._pool.shutdown, cancel_futures=True)
        return self

    def start(self, sequences: Sequence[Sequence[int]]) -> Encoding:
        """Queue token-id sequences for encoding, after those that were queued before."""
        encoding = Encoding(len(sequences))

        def encode(positions: list[int]) -> int:
            return encoding.put(positions, self.encode([sequences[position] for position in positions]))

        for positions in batches_of_one_length(sequences, self.token_budget):
            encoding.batches.append(self._pool.submit(encode, positions))
        return encoding

    def encode(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return the rows of sequences of one length, float32 (n, dims); batches shrink when memory runs out.

        Raises:
            TeacherError: A single sequence doesn't fit into memory.
        """
        import torch

        encoded: list[npt.NDArray[np.float32]] = []
        first = 0
        while first < len(sequences):
            batch = sequences[first : first + max(1, self.token_budget // len(sequences[0]))]
            try:
                encoded.append(self.teacher.rows(batch))
                first += len(batch)
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    raise TeacherError(
                        f"the device has no memory for one sequence of {len(batch[0])} tokens; "
                        "free some, or choose another with device: cpu"
                    ) from error
                with self._lock:  # another batch may have lowered the budget further
                    self.token_budget = min(self.token_budget, max(1, len(batch) * len(batch[0]) // 2))
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
        return np.concatenate(encoded)

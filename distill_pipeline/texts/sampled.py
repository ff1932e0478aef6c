"""A sample of texts as large as the disk: they lie in a file, and in memory is where each one begins and ends."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import overload

import numpy as np
import numpy.typing as npt

from distill_pipeline.store.mapped import mapped

_ALL_RANKS = 1 << 64


class MappedTexts(Sequence[str]):
    """Texts in a mapped file.

    Args:
        content: uint8, the texts in UTF-8, in any order.
        starts, ends: (texts,), where in it each one lies.
    """

    def __init__(
        self, content: npt.NDArray[np.uint8], starts: npt.NDArray[np.integer], ends: npt.NDArray[np.integer]
    ) -> None:
        self._content, self._starts, self._ends = content, starts, ends

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            bounds = zip(self._starts[place].tolist(), self._ends[place].tolist(), strict=True)
            return [self._content[start:end].tobytes().decode() for start, end in bounds]
        return self._content[self._starts[place] : self._ends[place]].tobytes().decode()


def smallest(ranked: Iterable[tuple[int, str]], count: int, folder: Path | None = None) -> MappedTexts:
    """Return the texts of the `count` smallest ranks, or all there are, by rank; of an equal rank the first one.

    A text that may yet be among them is appended to a nameless file in the folder. When there are a quarter more than
    wanted, these are forgotten, and the greatest rank that is left is a bound for all further ones. Texts that had come
    more than once by then are not written again. So the file grows with the logarithm of how much there was to choose
    from.

    Args:
        ranked: Texts with ranks of 64 bits.
        count: At least 1.
        folder: By default the system's for temporary files.
    """
    columns, bound, end = [array("Q") for _ in ("ranks", "starts", "ends")], _ALL_RANKS, 0
    repeated = set[int]()
    with TemporaryFile(dir=folder) as file:
        for rank, text in ranked:
            if rank >= bound or rank in repeated:
                continue
            start, end = end, end + file.write(text.encode())
            for column, value in zip(columns, (rank, start, end), strict=True):
                column.append(value)
            if len(columns[0]) > count * 5 // 4:
                columns, again = _smallest(columns, count)
                repeated.update(again)
                bound = columns[0][-1] if len(columns[0]) == count else _ALL_RANKS
        (_, starts, ends), _ = _smallest(columns, count)
        return MappedTexts(mapped(file, np.uint8), np.asarray(starts), np.asarray(ends))


def _smallest(columns: Sequence[array[int]], count: int) -> tuple[list[array[int]], list[int]]:
    """Return the columns of the smallest ranks, each once, and which of these ranks had come more than once."""
    ranks, first, times = np.unique(np.asarray(columns[0]), return_index=True, return_counts=True)
    kept = [array("Q", np.asarray(column)[first[:count]].tobytes()) for column in columns]
    return kept, ranks[:count][times[:count] > 1].tolist()

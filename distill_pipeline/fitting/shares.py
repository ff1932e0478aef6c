"""Token shares of any number of texts: sparse parts that lie in a file and are mapped into memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from tokenizers import Tokenizer

from distill_pipeline.fitting.parallel import in_order, slices
from distill_pipeline.store.mapped import mapped
from distill_pipeline.vocabulary.words import MAX_LENGTH

Matrix = npt.NDArray[np.float32]
Result = TypeVar("Result")

TEXTS_IN_PART = 65_536
"""Enough that a part holds each of its entries often: rows of its entries are copied for each product."""
_TEXTS_AT_ONCE = 2048


@dataclass(frozen=True)
class Part:
    """The shares of consecutive texts.

    Attributes:
        texts: Which texts.
        entries: int32 (held,), the entries that they hold, in order.
        matrix: float32 (texts, held).
    """

    texts: slice
    entries: npt.NDArray[np.int32]
    matrix: sparse.csr_matrix


@dataclass(frozen=True)
class TokenShares:
    """Each entry's share of a text's tokens, (texts, entries); rows sum to 1, or to 0."""

    parts: Sequence[Part]
    shape: tuple[int, int]

    @classmethod
    def of(cls, blocks: Iterable[sparse.csr_matrix], folder: Path | None = None) -> "TokenShares":
        """Keep blocks of consecutive texts, (texts, entries) each, in a nameless file in the folder."""
        waiting, entries, written = list[sparse.csr_matrix](), 0, list[tuple[npt.NDArray[np.int32], list[int]]]()
        with TemporaryFile(dir=folder) as file:
            for block in chain(blocks, [None]):
                if block is not None:
                    waiting.append(block)
                    entries = block.shape[1]
                count = sum(one.shape[0] for one in waiting)
                if count >= TEXTS_IN_PART or (block is None and waiting):
                    written.append(_write(sparse.vstack(waiting, format="csr"), file))
                    waiting = []
            # Mapped once: each mapping keeps a file open, and a process may have a thousand.
            numbers = mapped(file, np.int32).data
        parts, texts, place = [], 0, 0
        for held, sizes in written:
            arrays = []
            for kind, size in zip((np.float32, np.int32, np.int32), sizes, strict=True):
                # Not an array's slice: scipy copies a view of a much larger array.
                arrays.append(np.frombuffer(numbers, kind, size, place))
                place += 4 * size
            shape = (sizes[-1] - 1, len(held))
            parts.append(Part(slice(texts, texts + shape[0]), held, sparse.csr_matrix(tuple(arrays), shape=shape)))
            texts += shape[0]
        return cls(parts, (texts, entries))

    @property
    def texts_of_entries(self) -> npt.NDArray[np.int64]:
        """How many texts hold each entry, (entries,)."""
        counts = np.zeros(self.shape[1], dtype=np.int64)
        for part in self.parts:
            counts[part.entries] += np.bincount(part.matrix.indices, minlength=len(part.entries))
        return counts

    def select(self, texts: npt.NDArray[np.integer]) -> sparse.csr_matrix:
        """Return the rows of these texts, (len(texts), entries)."""
        found, order = [], []
        for part in self.parts:
            wanted = np.flatnonzero((texts >= part.texts.start) & (texts < part.texts.stop))
            rows = part.matrix[texts[wanted] - part.texts.start]
            shape = (len(wanted), self.shape[1])
            found.append(sparse.csr_matrix((rows.data, part.entries[rows.indices], rows.indptr), shape=shape))
            order.append(wanted)
        stacked = sparse.vstack(found, format="csr")
        return stacked if len(found) == 1 else stacked[np.argsort(np.concatenate(order))]

    def over_means(self, rows: Matrix, compute: Callable[[slice, Matrix], Result]) -> Iterator[Result]:
        """Yield what a function makes of some texts, and of the means (texts, dims) of the rows (entries, dims)."""

        def of_block(block: tuple[slice, sparse.csr_matrix, Matrix]) -> Result:
            texts, matrix, held = block
            return compute(texts, matrix @ held)

        return in_order(of_block, self._blocks(rows))

    def _blocks(self, rows: Matrix) -> Iterator[tuple[slice, sparse.csr_matrix, Matrix]]:
        for part in self.parts:
            held, first = rows[part.entries], part.texts.start
            for block in slices(part.matrix.shape[0], _TEXTS_AT_ONCE):
                yield slice(first + block.start, first + block.stop), part.matrix[block], held


def _write(matrix: sparse.csr_matrix, file: IO[bytes]) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Write a part's arrays, of four bytes each, and return the entries that it holds, and the arrays' sizes."""
    held, columns = np.unique(matrix.indices, return_inverse=True)
    arrays = matrix.data, columns.astype(np.int32), matrix.indptr.astype(np.int32)
    for array in arrays:
        file.write(array.data)
    return held.astype(np.int32), [array.size for array in arrays]


def token_shares(tokenizer: Tokenizer, texts: Sequence[str], *, counted: npt.NDArray[np.bool_]) -> sparse.csr_matrix:
    """Return each entry's share of a text's tokens, float32 (texts, entries); rows sum to 1, or to 0.

    Only entries that are counted, (entries,), are tokens of the text, as model2vec leaves out unknown ones.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    ids = [encoding.ids for encoding in encodings]
    lengths = np.fromiter(map(len, ids), dtype=np.int32, count=len(ids))
    columns = np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=lengths.sum())
    rows, kept = np.repeat(np.arange(len(ids)), lengths), counted[columns]
    left = np.bincount(rows[kept], minlength=len(ids))
    values = np.repeat((1 / np.maximum(left, 1)).astype(np.float32), left)
    starts = np.concatenate([[0], np.cumsum(left)]).astype(np.int32)
    shares = sparse.csr_matrix((values, columns[kept], starts), shape=(len(texts), len(counted)))
    shares.sum_duplicates()
    return shares

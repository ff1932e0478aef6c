"""Two things a process can tell its system about memory: keep what is freed, and drop what a file can give again.

Both are Linux's, reached through the C library; elsewhere they do nothing.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MAPPINGS = Path("/proc/self/smaps")


@lru_cache
def keep_freed_memory() -> bool:
    """Let the allocator keep freed blocks instead of handing them back to the system; returns whether it does.

    A layer's activations are a few megabytes. glibc takes such blocks from the system and gives them back each
    time, and the system clears every page anew: measured at 10 to 20 % of a ModernBERT's encoding time. What is
    free now, which loading left behind, goes back; and so do blocks of the size of a part, of which few are needed,
    but in ever new places. Arrow takes its blocks from here too, in this process: its own pool keeps those of a part
    that it wrote. See mallopt(3) and malloc_trim(3).
    """
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        return False
    pa.set_memory_pool(pa.system_memory_pool())
    library.malloc_trim(0)
    wanted = ((_M_MMAP_THRESHOLD, 8 << 20), (_M_TRIM_THRESHOLD, 1 << 30), (_M_TOP_PAD, 64 << 20))
    return all(library.mallopt(option, value) for option, value in wanted)


class MappedWeights:
    """Weights that lie in mapped files, whose pages can be dropped: the file gives them again.

    Args:
        weights: Of a model. One in each file is kept, lest its range of addresses become another's.

    Attributes:
        spans: First and last address of each mapping that holds one, of a file that nothing has written to.
    """

    def __init__(self, weights: Iterable[torch.Tensor]) -> None:
        spans = _clean_spans()
        self.spans: list[tuple[int, int]] = []
        self._kept: list[torch.Tensor] = []
        for weight in weights:
            if _span_of(weight, self.spans) is None and (span := _span_of(weight, spans)):
                self.spans.append(span)
                self._kept.append(weight.detach())

    def drop(self, weights: Iterable[torch.Tensor]) -> None:
        """Drop the pages of those weights that are mapped; whoever reads them again gets the same values."""
        for weight in weights:
            if _span_of(weight, self.spans):
                start = weight.data_ptr()
                _forget(start, start + weight.numel() * weight.element_size())

    def drop_all(self) -> None:
        """Drop all pages of the files: reading a weight brings in its neighbours' too."""
        for start, end in self.spans:
            _forget(start, end)


def _span_of(weight: torch.Tensor, spans: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    start = weight.data_ptr()
    end = start + weight.numel() * weight.element_size()
    return next(((first, last) for first, last in spans if first <= start and end <= last), None)


def _forget(start: int, end: int) -> None:
    # Whole pages alone: what lies beside belongs to other weights.
    start = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    length = end // mmap.PAGESIZE * mmap.PAGESIZE - start
    if length > 0:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


def _clean_spans() -> list[tuple[int, int]]:
    """Return the address ranges of mapped files without a page that this process wrote to.

    Any file's: in the Hub's cache weights lie under their digest, and only the link to them ends in safetensors.
    """
    if not _MAPPINGS.exists():
        return []
    spans, mapped = [], None
    for line in _MAPPINGS.read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if not fields[0].endswith(":"):
            first, last = (int(address, 16) for address in fields[0].split("-"))
            _, slash, path = line.partition("/")
            mapped = (first, last) if slash and Path(slash + path).is_file() else None  # no device
        elif fields[0] == "Anonymous:" and mapped and fields[1] == "0":
            spans.append(mapped)
    return spans

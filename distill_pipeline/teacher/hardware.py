"""The machine's devices: whether one multiplies bfloat16, and how much work it gets at once."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pyarrow as pa

NUMBERS_PER_CPU_BATCH = 300_000
"""Tokens times hidden size of a batch on one core, so that its activations stay in the cache. Measured on an EPYC with
1 MB of second-level cache per core: 502 rows/s at 384 tokens of 768 numbers, 430 at 768, 402 at 1,536."""

MAX_TOKENS_ON_GPU = 65_536
MIN_TOKENS_ON_GPU = 512

WORKERS_PER_GPU = 2
"""One batch's rows are copied back while the other computes."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def has_native_bfloat16(device: str) -> bool:
    """Return whether the hardware has instructions for bfloat16 products, so that they are faster."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(torch.device(device))[0] >= 8
    return device == "cpu" and bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def tokens_per_batch(config: Any, device: str) -> int:
    """Return how many tokens to encode in one batch.

    On a CPU, as many as fit into a core's cache; the number is the same on every machine, since the last digits of a
    product can depend on how many rows it has. On a GPU, as many as fit into half of its free memory, rounded down to a
    power of two, so that small changes in free memory don't change the batches.
    """
    import torch

    hidden = int(config.hidden_size)
    if not device.startswith("cuda"):
        return max(1, NUMBERS_PER_CPU_BATCH // hidden)
    free, _ = torch.cuda.mem_get_info(torch.device(device))
    # In float32: the residual stream and two sums, and queries, keys and values before and after rotation. In 16 bits:
    # the same again, and both halves of the gated feed-forward layer. Two batches are encoded at a time.
    bytes_per_token = 50 * hidden + 8 * int(getattr(config, "intermediate_size", 4 * hidden))
    return power_of_two_below(free // 2 // (WORKERS_PER_GPU * bytes_per_token))


def power_of_two_below(tokens: int) -> int:
    """Return the largest power of two up to `tokens`, within the bounds for a GPU."""
    return min(MAX_TOKENS_ON_GPU, max(MIN_TOKENS_ON_GPU, 1 << max(tokens, 1).bit_length() - 1))


@contextmanager
def workers(device: str) -> Iterator[int]:
    """Yield the number of batches to encode in parallel; until the block ends, torch uses one core for each.

    Two cores with a batch each are faster than two cores on one batch, which wait for each other after each operation.
    And a batch's bytes don't depend on the number of cores.
    """
    import torch

    if device != "cpu":
        yield WORKERS_PER_GPU if device.startswith("cuda") else 1
        return
    keep_freed_memory()
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield cores
    finally:
        torch.set_num_threads(cores)


@lru_cache
def keep_freed_memory() -> bool:
    """Let the allocator keep freed blocks instead of handing them back to the system; return whether it can.

    A layer's activations are a few megabytes. glibc requests blocks of that size from the system and returns them each
    time, and the system clears every page again: measured at 10 to 20 % of a ModernBERT's encoding time. Memory that
    loading left free is returned once, now. Blocks of the size of a part are still returned: there are few, each at a
    new address. Arrow allocates here too from now on; its own pool would keep the memory of a part that it wrote. See
    mallopt(3) and malloc_trim(3); elsewhere than on Linux this does nothing.
    """
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        return False
    pa.set_memory_pool(pa.system_memory_pool())
    library.malloc_trim(0)
    options = ((_M_MMAP_THRESHOLD, 8 << 20), (_M_TRIM_THRESHOLD, 1 << 30), (_M_TOP_PAD, 64 << 20))
    return all(library.mallopt(option, value) for option, value in options)

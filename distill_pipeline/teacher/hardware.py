"""What the machine offers: its devices, its arithmetic, and how much work to give them at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distill_pipeline.teacher.memory import keep_freed_memory

NUMBERS_PER_CPU_BATCH = 300_000
"""Tokens times hidden size of a batch on one core: its activations stay in the cache. Measured on an EPYC with
1 MB of second-level cache per core: 502 rows/s at 384 tokens of 768 numbers, 430 at 768, 402 at 1,536."""

MOST_TOKENS_ON_GPU = 65_536
LEAST_TOKENS_ON_GPU = 512


def best_device() -> str:
    """Return cuda where there is a GPU, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def multiplies_bfloat16_natively(device: str) -> bool:
    """Whether the hardware has instructions for bfloat16 products, so that using them pays."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(torch.device(device))[0] >= 8
    if device != "cpu":
        return False
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def tokens_per_batch(config: Any, device: str) -> int:
    """Return how many tokens to encode at once.

    On a CPU as many as one core's cache takes, the same on every machine, since the last digits of a product
    can depend on the number of its rows. On a GPU as many as fit into half of its free memory, rounded down to
    a power of two, so that little changes in free memory change nothing.

    Args:
        config: The transformer's configuration, read for `hidden_size` and `intermediate_size`.
        device: Where it runs.
    """
    import torch

    hidden = int(config.hidden_size)
    if not device.startswith("cuda"):
        return max(1, NUMBERS_PER_CPU_BATCH // hidden)
    free, _ = torch.cuda.mem_get_info(torch.device(device))
    # float32: stream and two sums, queries, keys and values before and after rotation; 16 bits: the same once
    # more, and the gated halves of the feed-forward layer. Two batches are under way at a time.
    bytes_per_token = 50 * hidden + 8 * int(getattr(config, "intermediate_size", 4 * hidden))
    return power_of_two_below(free // 2 // (WORKERS_PER_GPU * bytes_per_token))


def power_of_two_below(tokens: int) -> int:
    """Return the greatest power of two that is not above `tokens`, within the bounds for a GPU."""
    return min(MOST_TOKENS_ON_GPU, max(LEAST_TOKENS_ON_GPU, 1 << max(tokens, 1).bit_length() - 1))


WORKERS_PER_GPU = 2
"""While one batch's rows travel back, the other computes."""


@contextmanager
def workers(device: str) -> Iterator[int]:
    """Give the number of batches to encode side by side; for that time each runs on one core.

    Two cores on a batch each are faster than two on one batch: nothing waits at the end of each operation.
    And a batch's bytes then don't depend on the number of cores.
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

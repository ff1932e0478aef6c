"""Work in blocks on all cores, whose results don't depend on how many cores there are.

A block's size is fixed, each block is computed by one thread, and blocks are added up in order. BLAS splits a product
by its number of threads and so rounds differently: in a fit it gets one thread, and the blocks run side by side.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from distill_pipeline.store.environment import threads

Block = TypeVar("Block")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

Spread = Callable[[Callable[[Any, Block], Result], Any, Iterable[Block]], Iterator[Result]]
"""Computes blocks somewhere, from what they all need and each one's own, and yields the results in order."""

ROWS_AT_ONCE = 2048


def one_blas_thread(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function whose blocks run side by side."""

    @wraps(function)
    def limited(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        with threadpool_limits(limits=1, user_api="blas"):
            return function(*arguments, **named)

    return limited


def in_order(compute: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[Result]:
    """Yield the result of each block in the blocks' order; few are taken ahead, since they may come from disk."""
    count = threads()
    with ThreadPoolExecutor(count) as pool:
        running: deque[Future[Result]] = deque()
        for block in blocks:
            running.append(pool.submit(compute, block))
            if len(running) > count:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def on_cores(compute: Callable[[Any, Block], Result], needed: Any, blocks: Iterable[Block]) -> Iterator[Result]:
    """Spread blocks over this machine's cores."""
    return in_order(partial(compute, needed), blocks)


def for_each(compute: Callable[[Block], None], blocks: Iterable[Block]) -> None:
    """Compute blocks that write their results each to a place of its own."""
    for _ in in_order(compute, blocks):
        pass


def project(rows: npt.NDArray[np.float32], axes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return rows @ axes, float32, in blocks side by side."""
    projected = np.empty((len(rows), axes.shape[1]), dtype=np.float32)

    def compute(block: slice) -> None:
        np.matmul(rows[block], axes, out=projected[block])

    for_each(compute, slices(len(rows), ROWS_AT_ONCE))
    return projected


def slices(count: int, size: int) -> list[slice]:
    """Return the slices of `size`, the last one smaller, that make up `count`."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]

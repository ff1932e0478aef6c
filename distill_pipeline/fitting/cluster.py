"""The fit's blocks on a Ray cluster. Needs the extra `ray`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from distill_pipeline.fitting.parallel import Block, Result, Spread, one_blas_thread
from distill_pipeline.teacher.cluster import ClusterError, cluster


@contextmanager
def on_ray() -> Iterator[Spread[Any, Any]]:
    """Yield what spreads blocks over the processors of the cluster that `$RAY_ADDRESS` names, or of one started here.

    What all blocks need is copied once to each machine, into memory that its workers share. Raises `ClusterError`.
    """
    with cluster() as ray:

        def spread(compute: Callable[[Any, Block], Result], needed: Any, blocks: Iterable[Block]) -> Iterator[Result]:
            task, place = ray.remote(num_cpus=1)(one_blas_thread(compute)), ray.put(needed)
            try:
                yield from map(ray.get, [task.remote(place, block) for block in blocks])
            except ray.exceptions.RayError as error:
                raise ClusterError(f"the cluster gave the fit up: {error}. Run again") from error

        yield spread

"""The encoder on a Ray cluster: actors with a teacher each encode parts and write them where all machines can read.

A part has the bytes that `encode_to_parts` writes for the same rows, whichever actor makes it. When an actor dies, Ray
restarts it and gives its parts to the others. Needs the extra `ray`.
"""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill_pipeline.errors import DistillError, TeacherError, install_hint
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import sha256_of
from distill_pipeline.store.remote_folder import RemoteFolder
from distill_pipeline.teacher.batches import BatchEncoder, Report, progress_counter
from distill_pipeline.teacher.encoding import EncodingWork, TeacherSetup, probe_sample, settle_precision, write_part
from distill_pipeline.teacher.passes.forward import MODERNBERT
from distill_pipeline.teacher.source import TeacherSource, resolve_teacher
from distill_pipeline.teacher.teacher import Teacher, load_teacher

PARTS_URL = "DISTILL_PARTS_URL"
"""The environment variable with the URL that workers write to."""


class ClusterError(DistillError):
    """A cluster or a place for parts that can't be used; the message says why and what to do."""


@dataclass(frozen=True)
class Shard:
    """The work for one part: its file name, its first row, the token ids, and their texts if the part holds them."""

    part: str
    first: int
    ids: Sequence[Sequence[int]]
    texts: Sequence[str] | None


@dataclass(frozen=True)
class TeacherSpec:
    """What a worker needs to run the same teacher: the recipe, and the identity of the files where the run began."""

    recipe: Recipe
    identity: Mapping[str, str]

    def source(self) -> TeacherSource:
        """Return the teacher's files as this machine finds them. Raises `TeacherError` where they differ."""
        location = self.recipe.teacher_location
        source = resolve_teacher(
            location,
            self.identity.get("commit"),
            known_commits=Path(os.devnull),
            allow_pickled_weights=self.recipe.allow_pickled_weights,
        )
        if source.identity != self.identity:
            raise TeacherError(f"{location} on {platform.node()} has other files than where the run began")
        return source

    def load(self) -> Teacher:
        """Return the teacher, loaded in float32. Raises `TeacherError`."""
        # Ray chooses which of a machine's GPUs an actor has, and hides the others from it.
        device = "cuda" if self.recipe.device.startswith("cuda") else self.recipe.device
        return load_teacher(
            self.source(),
            pooling=self.recipe.pooling,
            device=device,
            trust_remote_code=self.recipe.trust_remote_code,
            prompt=self.recipe.prompt,
        )

    def settle(self, sample: Sequence[Sequence[int]]) -> TeacherSetup:
        """Return how to run the teacher on the whole cluster, as this worker finds it. Raises `TeacherError`."""
        return settle_precision(self.load(), self.recipe.precision, sample)


class _Worker:
    """An actor: a teacher that encodes the shards it is given and writes their parts."""

    def __init__(
        self, spec: TeacherSpec, precision: str, forward: str, destination: str, shards: Sequence[Any] = ()
    ) -> None:
        self.shards = shards
        self.destination = RemoteFolder(destination, PARTS_URL)
        self.teacher = spec.load()
        if precision == "bfloat16":
            self.teacher.to_bfloat16()
        if forward == MODERNBERT:
            self.teacher.forward.drop_kernels("the first worker has none")
        here = self.teacher.forward
        if here.name != forward:
            raise ClusterError(
                f"{platform.node()} runs the pass {here.name!r} where another machine runs {forward!r}: "
                f"{here.why_no_kernels or 'are their libraries and GPUs the same?'}"
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        import ray

        shard: Shard = ray.get(self.shards[int(batch["item"][0])])
        keeping_lengths = self.teacher.forward.keeping_lengths(shard.texts is None)
        with keeping_lengths as lengths, BatchEncoder(self.teacher) as encoder:
            rows = encoder.start(shard.ids).rows(lambda _: None)
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / shard.part
            write_part(part, rows, shard.first, shard.texts, lengths=lengths)
            digest = sha256_of(part)
            self.destination.put(part.name, part)
        worker = f"{platform.node()}:{os.getpid()}"
        return {"part": [part.name], "sha256": [digest], "rows": [len(rows)], "worker": [worker]}


def encode_on_ray(
    work: EncodingWork,
    spec: TeacherSpec,
    folder: Path,
    *,
    destination: str | None = None,
    report: Report = lambda _: None,
    log: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Encode every sequence on the cluster that `$RAY_ADDRESS` names, or on one started here, and return facts.

    Args:
        work: What to encode.
        spec: The teacher.
        folder: Holds the parts and the ledger of the finished ones.
        destination: fsspec URL that the workers write to, such as `s3://bucket/parts`, of this work alone; each part
            is copied from there into the folder. Without one all machines must see the folder.
        report: Called with the progress after each part.
        log: Called with a line for each part, which names the worker that made it.

    Raises:
        ClusterError: Ray isn't installed, the cluster gave the work up, or a part came back with other bytes.
        RemoteError: The destination can't be written to.
    """
    target = destination or folder_url(folder)
    remote = RemoteFolder(target, PARTS_URL)
    if destination:
        remote.write(".writable", b"")  # fails here, before a teacher is loaded, if nothing can be written
    with cluster() as ray:
        resources = resources_of_a_worker(ray, spec.recipe.device)
        settle = ray.remote(**resources)(TeacherSpec.settle)
        setup: TeacherSetup = ray.get(settle.remote(spec, probe_sample(work.sequences)))
        ledger, pending, kept = work.pending(folder, setup.precision, setup.forward, setup.device)
        # In Ray's object store, which spills to disk, one after the other: together they may be larger than memory.
        shards = [
            ray.put(Shard(name, rows.start, work.sequences[rows], work.texts_of(rows)))
            for name, rows in pending.items()
        ]
        total = len(work.sequences)
        log(f"encoding {total:,} rows in {setup.precision} on Ray: {setup.precision_reason}")
        advance = progress_counter(kept, total, report)
        for done in _encoded(ray, shards, resources, (spec, setup.precision, setup.forward, target)):
            part = folder / done["part"]
            if destination:
                _fetch(remote, part, done["sha256"])
            ledger.add(part, done["sha256"])
            log(f"{part.name} by worker {done['worker']}")
            advance(done["rows"])
    return setup.facts(total, kept)


def folder_url(folder: Path) -> str:
    """Return a folder's URL as fsspec reads it; `Path.as_uri` escapes a space as %20, which fsspec would keep."""
    return f"file://{folder.resolve()}"


def _fetch(remote: RemoteFolder, part: Path, digest: str) -> None:
    """Copy a part from where its worker put it. Raises `ClusterError` if it is gone or has other bytes."""
    try:
        remote.get(part.name, part)
    except FileNotFoundError as error:
        raise ClusterError(f"{remote.url}/{part.name} is gone since a worker wrote it; run again to go on") from error
    if sha256_of(part) != digest:
        raise ClusterError(f"{remote.url}/{part.name} isn't what the worker wrote; does other work write there too?")


def _encoded(
    ray: Any, shards: Sequence[Any], resources: dict[str, float], worker: tuple[Any, ...]
) -> Iterator[dict[str, Any]]:
    """Yield what the workers return for each shard, in the order in which they finish."""
    if not shards:
        return
    try:
        workers = min(_room(ray, resources), len(shards))
        items = ray.data.from_items(list(range(len(shards))), override_num_blocks=len(shards))
        finished = items.map_batches(
            _Worker,
            fn_constructor_args=(*worker, shards),
            batch_size=1,
            batch_format="numpy",
            # Otherwise the first worker has all of few parts in its queue before Ray starts another.
            compute=ray.data.ActorPoolStrategy(min_size=1, initial_size=workers, max_size=workers),
            **resources,
        )
        yield from finished.iter_rows()
    except ray.exceptions.RayError as error:
        raise ClusterError(f"the cluster gave up: {error}. Finished parts are kept; run again to go on") from error


def _machines(ray: Any) -> list[dict[str, float]]:
    """Return what each machine that is up has, by Ray's names."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _room(ray: Any, resources: Mapping[str, float]) -> int:
    """Return for how many workers the cluster has room now, at least one."""
    names = {"num_cpus": "CPU", "num_gpus": "GPU"}
    of_each = (
        min(int(machine.get(names[name], 0) // wanted) for name, wanted in resources.items() if wanted)
        for machine in _machines(ray)
    )
    return max(1, sum(of_each))


def resources_of_a_worker(ray: Any, device: str) -> dict[str, float]:
    """Return what one actor takes: a GPU where the cluster and the recipe's device have one, else a machine's CPUs."""
    machines = _machines(ray)
    if device.startswith(("auto", "cuda")) and any(machine.get("GPU") for machine in machines):
        return {"num_cpus": 1, "num_gpus": 1}
    # A head node is often given no processors, so that no work is scheduled there.
    processors = [machine["CPU"] for machine in machines if machine.get("CPU", 0) >= 1]
    return {"num_cpus": min(processors, default=1)}


@contextmanager
def cluster() -> Iterator[Any]:
    """Yield the `ray` module, connected to a cluster; one that was started for this is stopped afterwards.

    Raises:
        ClusterError: Ray isn't installed, or the address is that of Ray's client, through which Ray Data can't run.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS") or "local"  # left out, Ray would join any cluster that it finds here
    if address.startswith("ray://"):
        raise ClusterError(
            f"RAY_ADDRESS={address}: Ray Data doesn't run through Ray's client; join this machine to the cluster with "
            "`ray start --address=HEAD:6379 --num-cpus=0`, and set RAY_ADDRESS=HEAD:6379"
        )
    if address == "local":
        # Whoever reaches Ray's ports can run code. On any system, this is what makes it bind them to loopback alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ClusterError(f"encoder=ray needs Ray: {install_hint('ray')}") from error
    connected_before = ray.is_initialized()
    if not connected_before:
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield ray
    finally:
        if not connected_before:
            ray.shutdown()

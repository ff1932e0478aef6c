"""The encoder on a Ray cluster: actors with a teacher each encode parts and write them where all machines can read.

A part has the bytes that `encode_to_parts` writes for the same rows, whichever actor makes it. When an actor dies, Ray
restarts it and gives its parts to the others. Needs the extra `ray`.
"""

from __future__ import annotations

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
from distill_pipeline.store.embeddings import Ledger, part_name, part_slices
from distill_pipeline.store.remote_folder import RemoteFolder
from distill_pipeline.teacher.batches import BatchEncoder, Pace, Report
from distill_pipeline.teacher.encoding import (
    ROWS_PER_PART,
    Precision,
    encoding_facts,
    parts_plan,
    probe_sample,
    settle_precision,
    write_part,
)
from distill_pipeline.teacher.passes.forward import MODERNBERT
from distill_pipeline.teacher.reuse import EarlierOutput, reuse_parts
from distill_pipeline.teacher.source import TeacherSource, resolve_teacher
from distill_pipeline.teacher.teacher import Teacher, load_teacher

Log = Callable[[str], None]

PARTS_URL = "DISTILL_PARTS_URL"


class ClusterError(DistillError):
    """A cluster or a place for parts that can't be used; the message says why and what to do."""


@dataclass(frozen=True)
class Shard:
    """The rows of one part: which part it is, its first row, the token ids, and their texts if the part holds them."""

    number: int
    first: int
    ids: Sequence[Sequence[int]]
    texts: Sequence[str] | None

    @property
    def part(self) -> str:
        """The part's file name."""
        return part_name(self.number)


@dataclass(frozen=True)
class TeacherSpec:
    """What a worker on another machine needs to load the same teacher and run it in the same way.

    Attributes:
        recipe: Names the teacher, and says how to run it.
        identity: Of the teacher's files where the run began (see `TeacherSource.identity`).
    """

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
            self.source(), pooling=self.recipe.pooling, device=device, trust_remote_code=self.recipe.trust_remote_code
        )

    def settle(self, sample: Sequence[Sequence[int]]) -> tuple[Precision, str, str]:
        """Return the precision, the forward pass and the device that a worker has settled on for the whole cluster."""
        teacher = self.load()
        in_float32 = teacher.forward.name
        precision = settle_precision(teacher, self.recipe.precision, sample)
        return precision, in_float32 if precision.used == "float32" else teacher.forward.name, teacher.device


class _Worker:
    """An actor: a teacher that encodes the shards it is given and writes their parts."""

    def __init__(self, spec: TeacherSpec, precision: str, forward: str, destination: str) -> None:
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
        [shard] = batch["shard"]
        with BatchEncoder(self.teacher) as encoder:
            rows = encoder.start(shard.ids).rows(lambda _: None)
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / shard.part
            write_part(part, rows, shard.first, shard.texts)
            digest = sha256_of(part)
            self.destination.put(part.name, part)
        worker = f"{platform.node()}:{os.getpid()}"
        return {"part": [part.name], "sha256": [digest], "rows": [len(rows)], "worker": [worker]}


def encode_on_ray(
    sequences: Sequence[Sequence[int]],
    spec: TeacherSpec,
    folder: Path,
    *,
    rows_per_part: int = ROWS_PER_PART,
    texts: Sequence[str] | None = None,
    groups: Sequence[int] = (),
    destination: str | None = None,
    earlier: Sequence[EarlierOutput] = (),
    report: Report = lambda _: None,
    log: Log = lambda _: None,
) -> dict[str, Any]:
    """Encode every sequence on the cluster that `$RAY_ADDRESS` names, or on one started here; returns facts.

    Args:
        sequences, folder, rows_per_part, texts, groups, earlier: See `encode_to_parts`.
        spec: The teacher, and how to run it.
        destination: fsspec URL that the workers write to, such as `s3://bucket/parts`, of this work alone; each part
            is copied from there into the folder. Without one all machines must see the folder.
        report: Told of progress after each part.
        log: Receives a line for each part: which worker made it.

    Raises:
        ClusterError: Ray isn't installed, the cluster gave the work up, or a part came back with other bytes.
        RemoteError: The destination can't be written to.
    """
    target = destination or folder_url(folder)
    remote = RemoteFolder(target, PARTS_URL)
    if destination:
        remote.write(".writable", b"")  # one that can't be written to fails here, before a teacher is loaded
    slices = part_slices(groups or [len(sequences)], rows_per_part)
    shards = [
        Shard(number, rows.start, sequences[rows], None if texts is None else texts[rows])
        for number, rows in enumerate(slices)
    ]
    with _cluster() as ray:
        resources = resources_of_a_worker(ray, spec.recipe.device)
        settle = ray.remote(**resources)(TeacherSpec.settle)
        precision, forward, device = ray.get(settle.remote(spec, probe_sample(sequences)))
        ledger = Ledger(folder, parts_plan(len(sequences), rows_per_part, precision.used, forward))
        wanted = {shard.part: shard.texts for shard in shards if shard.texts is not None}
        reuse_parts(wanted, folder, ledger, earlier, device=device)
        pending = [shard for shard in shards if not ledger.has(folder / shard.part)]
        kept = len(sequences) - sum(len(shard.ids) for shard in pending)
        log(f"encoding {len(sequences):,} rows in {precision.used} on Ray: {precision.reason}")
        pace = Pace(kept, len(sequences), report)
        for done in _encoded(ray, pending, resources, (spec, precision.used, forward, target)):
            part = folder / done["part"]
            if destination:
                _fetch(remote, part, done["sha256"])
            ledger.add(part, done["sha256"])
            log(f"{part.name} by worker {done['worker']}")
            pace.advance(done["rows"])
    return encoding_facts(len(sequences), kept, precision, device, forward)


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
    ray: Any, shards: Sequence[Shard], resources: dict[str, float], worker: tuple[Any, ...]
) -> Iterator[dict[str, Any]]:
    """Yield what the workers return for each shard, in the order in which they finish."""
    if not shards:
        return
    try:
        max_workers = max(1, int(ray.cluster_resources().get("CPU", 1) // max(resources["num_cpus"], 1)))
        parts = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
        finished = parts.map_batches(
            _Worker,
            fn_constructor_args=worker,
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(max_workers, len(shards))),
            **resources,
        )
        yield from finished.iter_rows()
    except ray.exceptions.RayError as error:
        raise ClusterError(f"the cluster gave up: {error}. Finished parts are kept; run again to go on") from error


def resources_of_a_worker(ray: Any, device: str) -> dict[str, float]:
    """Return what one actor takes: a GPU where the cluster has any, else the processors of a machine.

    Args:
        ray: The module, connected.
        device: The recipe's; only auto and cuda take a GPU.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if device.startswith(("auto", "cuda")) and any(machine.get("GPU") for machine in machines):
        return {"num_cpus": 1, "num_gpus": 1}
    # A head node is often given no processors, so that no work is scheduled there.
    processors = [machine["CPU"] for machine in machines if machine.get("CPU", 0) >= 1]
    return {"num_cpus": min(processors, default=1)}


@contextmanager
def _cluster() -> Iterator[Any]:
    """Give the `ray` module, connected to a cluster; a cluster that was started for this is stopped afterwards."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ClusterError(f"encoder=ray needs Ray: {install_hint('ray')}") from error
    ours = not ray.is_initialized()
    if ours:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()

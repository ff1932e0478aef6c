"""The encoder on a Ray cluster: shards go to actors with a teacher each, and come back as the same parts.

A part is what `encode_to_parts` writes for the same rows, made by the same code; which actor makes it and when
decides nothing. A dead actor's shards go to the others: Ray restarts it and retries. Needs the extra `ray`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from distill_pipeline.disk import sha256_of
from distill_pipeline.distillation.batches import BatchEncoder, Pace, Report
from distill_pipeline.distillation.earlier import EarlierOutput, take_over
from distill_pipeline.distillation.encoding import Precision, plan_of, probe_sample, settle_precision, write_part
from distill_pipeline.distillation.forward import OWN
from distill_pipeline.distillation.parts import Ledger, part_name
from distill_pipeline.distillation.shards import ClusterError, Shard
from distill_pipeline.distillation.source import TeacherSource, resolve_teacher
from distill_pipeline.distillation.teacher import Pooling, Teacher, load_teacher
from distill_pipeline.errors import TeacherError, install_hint
from distill_pipeline.recipe import Recipe
from distill_pipeline.remote_files import RemoteFolder

Log = Callable[[str], None]

SETTING = "DISTILL_PARTS_URL"

SHARDS = "shards.json"
"""At the destination: how many parts there may be."""


@dataclass(frozen=True)
class TeacherSpec:
    """What a worker on another machine needs in order to load the same teacher, and to run it alike.

    `identity` is that of the driver's teacher: a folder with other files on a worker's machine is an error.
    """

    location: str
    identity: dict[str, str]
    pooling: Pooling
    device: str
    trust_remote_code: bool
    precision: Literal["auto", "float32", "bfloat16"]
    precision_floor: float
    prompt: str | None = None
    allow_pickled_weights: bool = False

    @classmethod
    def of(cls, recipe: Recipe, source: TeacherSource) -> TeacherSpec:
        """Return the spec of a recipe's teacher."""
        return cls(
            location=recipe.teacher_location,
            identity=source.identity,
            pooling=recipe.pooling,
            device=recipe.device,
            trust_remote_code=recipe.trust_remote_code,
            precision=recipe.precision,
            precision_floor=recipe.precision_floor,
            prompt=recipe.prompt,
            allow_pickled_weights=recipe.allow_pickled_weights,
        )

    def source(self) -> TeacherSource:
        """Find the teacher's files from this machine. Raises `TeacherError`."""
        source = resolve_teacher(
            self.location,
            self.identity.get("commit"),
            known_commits=Path(os.devnull),
            allow_pickled_weights=self.allow_pickled_weights,
        )
        if source.identity != self.identity:
            raise TeacherError(f"{self.location} on {platform.node()} has other files than where the run began")
        return source

    def load(self) -> Teacher:
        """Load it in float32. Raises `TeacherError`."""
        # Which of a machine's GPUs is the cluster's choice, and an actor sees that one alone.
        device = "cuda" if self.device.startswith("cuda") else self.device
        return load_teacher(
            self.source(), pooling=self.pooling, device=device, trust_remote_code=self.trust_remote_code
        )

    def settle(self, sample: Sequence[Sequence[int]]) -> tuple[Precision, str, str]:
        """Return the precision for the cluster, whose forward pass runs, and the device, as found on a worker."""
        teacher = self.load()
        in_float32 = teacher.forward.name
        precision = settle_precision(teacher, self.precision, self.precision_floor, sample)
        return precision, in_float32 if precision.used == "float32" else teacher.forward.name, teacher.device


class _Worker:
    """An actor: a teacher that encodes the shards it is given and writes their parts."""

    def __init__(self, spec: TeacherSpec, precision: str, forward: str, destination: str) -> None:
        self.folder, self.prompt = spec.source().folder, spec.prompt
        self.destination = RemoteFolder(destination, SETTING)
        self.teacher = spec.load()
        if precision == "bfloat16":
            self.teacher.to_bfloat16()
        if forward == OWN:
            self.teacher.forward.without_kernels("the first worker has none")
        here = self.teacher.forward
        if here.name != forward:
            raise ClusterError(
                f"{platform.node()} runs the pass {here.name!r} where another machine runs {forward!r}: "
                f"{here.why_no_kernels or 'are their libraries and GPUs the same?'}"
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        [shard] = batch["shard"]
        sequences, texts = shard.read(self.folder, self.prompt)
        with BatchEncoder(self.teacher) as encoder:
            rows = encoder.start(sequences).rows(lambda _: None)
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / part_name(shard.number)
            write_part(part, rows, shard.first, texts)
            digest = sha256_of(part)
            self.destination.put({part.name: part})
        worker = f"{platform.node()}:{os.getpid()}"
        return {"part": [part.name], "sha256": [digest], "rows": [len(rows)], "worker": [worker]}


def encode_on_ray(
    shards: Sequence[Shard],
    spec: TeacherSpec,
    folder: Path,
    *,
    destination: str | None = None,
    fetch: bool = True,
    sample: Sequence[Sequence[int]] | None = None,
    earlier: Sequence[EarlierOutput] = (),
    cpus_per_worker: int | None = None,
    report: Report = lambda _: None,
    log: Log = lambda _: None,
) -> dict[str, Any]:
    """Encode shards on the cluster that `$RAY_ADDRESS` names, or on one started here.

    Finished parts are kept as by `encode_to_parts`.

    Args:
        shards: What to encode.
        spec: The teacher, and how to run it.
        folder: Holds the ledger, and the parts when there is no destination: then all machines must see it.
        destination: fsspec URL that the workers write to, such as `s3://bucket/embeddings`; of this work alone.
        fetch: Bring each part from the destination into the folder. Otherwise it stays there alone, and a run that
            resumes trusts the ledger and the file's presence. Parts of another corpus or teacher are made anew.
        sample: Token ids to measure the precision with. Those of the first shard when not given.
        earlier: What this teacher made of texts before; a part of the very same texts is taken from there into the
            folder, and is not put at the destination.
        cpus_per_worker: Processors of an actor; all of a machine's when not given. Each actor holds a teacher.
        report: Told of progress after each part.
        log: Receives a line for each part: which worker made it.

    Returns:
        Facts: rows, rows_resumed, precision, precision_reason, least_cosine_to_float32, device, forward.

    Raises:
        ClusterError: Ray isn't installed, the cluster gave the work up, or a part came back with other bytes.
        RemoteError: The destination can't be written to.
    """
    target = destination or url_of(folder)
    remote = RemoteFolder(target, SETTING)
    before = 0 if destination is None else announce(remote, len(shards))
    if sample is None:
        sample = probe_sample(shards[0].read(spec.source().folder, spec.prompt)[0])
    with _cluster() as ray:
        resources = resources_of_a_worker(ray, cpus_per_worker, spec.device)
        settle = ray.remote(**resources)(TeacherSpec.settle)
        precision, forward, device = ray.get(settle.remote(spec, sample))
        total = sum(shard.rows for shard in shards)
        plan = plan_of(total, shards[0].rows, precision.used, forward)
        ledger = Ledger(folder, {**plan, **source_of(shards, spec)})
        if destination is None or fetch:
            wanted = {part_name(shard.number): shard.texts for shard in shards if shard.texts is not None}
            take_over(wanted, folder, ledger, earlier, device=device)

        def is_finished(name: str) -> bool:
            elsewhere = destination is not None and not fetch
            return ledger.names(name) and remote.has(name) if elsewhere else ledger.has(folder / name)

        pending = [shard for shard in shards if not is_finished(part_name(shard.number))]
        kept = total - sum(shard.rows for shard in pending)
        log(f"encoding {total:,} rows in {precision.used} on Ray: {precision.reason}")
        pace = Pace(kept, total, report)
        for done in _encoded(ray, pending, resources, (spec, precision.used, forward, target)):
            part = folder / done["part"]
            if destination is not None and fetch:
                _fetch(remote, part, done["sha256"])
            ledger.add(part, done["sha256"])
            log(f"{part.name} by worker {done['worker']}")
            pace.advance(done["rows"])
    if destination is not None:
        remove_surplus(remote, len(shards), before)
    return {
        "rows": total,
        "rows_resumed": kept,
        "precision": precision.used,
        "precision_reason": precision.reason,
        "least_cosine_to_float32": precision.least_cosine,
        "device": device,
        "forward": forward,
    }


def url_of(folder: Path) -> str:
    """Return a folder's URL as fsspec reads it: not `as_uri`, whose %20 it takes for the name."""
    return f"file://{folder.resolve()}"


def announce(remote: RemoteFolder, shards: int) -> int:
    """Note how many parts there may be, and return how many there were before.

    Done first, so that a bucket that can't be used is known of before the teacher is loaded.
    """
    earlier = int(json.loads(remote.read(SHARDS) or b"{}").get("shards", 0))
    remote.write(SHARDS, json.dumps({"shards": max(earlier, shards)}).encode())
    return earlier


def remove_surplus(remote: RemoteFolder, shards: int, earlier: int) -> None:
    """Remove the parts of a longer corpus that was encoded to the same place before."""
    for number in range(shards, earlier):
        remote.remove(part_name(number))
    remote.write(SHARDS, json.dumps({"shards": shards}).encode())


def source_of(shards: Sequence[Shard], spec: TeacherSpec) -> dict[str, str]:
    """Return what tells parts of a corpus from those of another, or of another teacher.

    Nothing for shards that a stage holds: its folder is of one fingerprint, and a run on this machine goes on there.
    """
    if shards[0].row_group is None:
        return {}
    sources = json.dumps(
        [asdict(spec), [[shard.rows, shard.row_group, shard.version] for shard in shards]], sort_keys=True
    )
    return {"source": hashlib.sha256(sources.encode()).hexdigest()}


def _fetch(remote: RemoteFolder, part: Path, digest: str) -> None:
    """Copy a part from where its worker put it."""
    try:
        remote.get(part.name, part)
    except FileNotFoundError as error:
        raise ClusterError(f"{remote.url}/{part.name} is gone since a worker wrote it; run again to go on") from error
    if sha256_of(part) != digest:
        raise ClusterError(f"{remote.url}/{part.name} isn't what the worker wrote; does other work write there too?")


def _encoded(
    ray: Any, shards: Sequence[Shard], resources: dict[str, float], worker: tuple[Any, ...]
) -> Iterator[dict[str, Any]]:
    """Yield what each worker says of each shard, in the order in which they are finished."""
    if not shards:
        return
    try:
        most = max(1, int(ray.cluster_resources().get("CPU", 1) // max(resources["num_cpus"], 1)))
        parts = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
        finished = parts.map_batches(
            _Worker,
            fn_constructor_args=worker,
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, len(shards))),
            **resources,
        )
        yield from finished.iter_rows()
    except ray.exceptions.RayError as error:
        raise ClusterError(f"the cluster gave up: {error}. Finished parts are kept; run again to go on") from error


def resources_of_a_worker(ray: Any, cpus_per_worker: int | None, device: str) -> dict[str, float]:
    """Return what one actor takes: a GPU where the cluster has any, else the processors of a machine.

    Args:
        ray: The module, connected.
        cpus_per_worker: What to take in any case.
        device: The recipe's; only auto and cuda take a GPU.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if device.startswith(("auto", "cuda")) and any(machine.get("GPU") for machine in machines):
        return {"num_cpus": cpus_per_worker or 1, "num_gpus": 1}
    # A head node is often given no processors, so that no work lands on it.
    processors = [machine["CPU"] for machine in machines if machine.get("CPU", 0) >= 1]
    return {"num_cpus": cpus_per_worker or min(processors, default=1)}


@contextmanager
def _cluster() -> Iterator[Any]:
    """Give the `ray` module, connected; what was started here is stopped in the end."""
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

"""Encoding and fitting on a Ray cluster of two machines: the bytes of one machine, even when a worker is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest
from scipy import sparse

from distill_pipeline.fitting.cluster import on_ray
from distill_pipeline.fitting.parallel import one_blas_thread
from distill_pipeline.fitting.ridge import solve_ridge
from distill_pipeline.fitting.shares import TokenShares
from distill_pipeline.recipe.reading import make_recipe
from distill_pipeline.recipe.recipe import Recipe
from distill_pipeline.store.disk import file_table
from distill_pipeline.store.remote_folder import RemoteError, RemoteFolder
from distill_pipeline.teacher.cluster import (
    ClusterError,
    TeacherSpec,
    _Worker,
    cluster,
    encode_on_ray,
    folder_url,
    resources_of_a_worker,
)
from distill_pipeline.teacher.encoding import EncodingWork, encode_to_parts, sentence_ids
from distill_pipeline.teacher.source import resolve_teacher
from distill_pipeline_tests.servers.bucket import Bucket, S3Server

ray = pytest.importorskip("ray", reason="needs the extra ray")


@pytest.fixture(scope="module")
def spec(modernbert: Path) -> TeacherSpec:
    source = resolve_teacher(str(modernbert), None, known_commits=modernbert / "none.json")
    fields = {"name": "tiny", "teacher": str(modernbert), "device": "cpu", "precision": "float32"}
    return TeacherSpec(make_recipe(fields, source="test"), source.identity)


@pytest.fixture(scope="module", autouse=True)
def two_machines(s3: S3Server) -> Iterator[None]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3.environment.items():  # which the workers inherit
            environment.setenv(name, value)
        # Ray's workers are polite, and other tests would leave them little of the processor.
        environment.setenv("RAY_worker_niceness", "0")
        # The process that settled one test's precision has torch imported for the next test's.
        environment.setenv("RAY_idle_worker_killing_time_threshold_ms", "600000")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        ray.init(cluster.address, log_to_driver=False, logging_level="ERROR", namespace="tests")
        yield
        ray.shutdown()
        cluster.shutdown()


def test_a_worker_killed_half_way_costs_no_row_and_changes_no_byte(
    spec: TeacherSpec, bucket: Bucket, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    # Parts that take some tenths of a second, so that work is left when the first worker dies.
    sequences = [[1, *random.integers(5, 600, random.integers(40, 60)).tolist(), 2] for _ in range(1200)]
    local, cluster = tmp_path / "local", tmp_path / "cluster"
    local.mkdir()
    cluster.mkdir()
    encode_to_parts(EncodingWork(sequences, rows_per_part=150), spec.load(), local)
    seen: list[str] = []
    workers: set[str] = set()

    def kill_the_first_worker(line: str) -> None:
        if " by worker " in line:
            seen.append(line)
            workers.add(line.rsplit(" ", 1)[1])
            if len(seen) == 2:
                os.kill(int(line.rsplit(":", 1)[1]), signal.SIGKILL)

    facts = encode_on_ray(
        EncodingWork(sequences, rows_per_part=150), spec, cluster, destination=bucket.url, log=kill_the_first_worker
    )
    assert facts["rows"] == 1200
    assert len(seen) == 8
    assert len(workers) > 1
    assert file_table(cluster) == file_table(local)
    parts = {name: content for name, content in bucket.objects().items() if name.startswith("part-")}
    assert parts == {path.name: path.read_bytes() for path in local.glob("part-*")}


def test_texts_that_were_encoded_before_are_sent_to_no_worker(spec: TeacherSpec, tmp_path: Path) -> None:
    texts = [f"house number {place}" for place in range(45)]
    ids = sentence_ids(Path(spec.recipe.teacher), texts, prompt=None)
    before, folder = tmp_path / "before", tmp_path / "stage"
    before.mkdir()
    folder.mkdir()
    teacher = spec.load()
    encode_to_parts(EncodingWork(ids, [texts], rows_per_part=16), teacher, before)
    ran = {"precision": teacher.precision, "forward": teacher.forward.name, "device": teacher.device}
    earlier = before, {"facts": ran, "files": file_table(before)}
    facts = encode_on_ray(EncodingWork(ids, [texts], [earlier], rows_per_part=16), spec, folder)
    assert facts["rows_resumed"] == 45
    assert file_table(folder) == file_table(before)


def test_the_fit_has_the_same_bytes_on_the_cluster_and_on_this_machine() -> None:
    random = np.random.default_rng(0)
    counts = sparse.random_array((3000, 700), density=0.02, random_state=random, dtype=np.float32).tocsr()
    targets, start = (random.standard_normal((count, 70), dtype=np.float32) for count in (3000, 700))
    shares = TokenShares.of([counts])
    here = one_blas_thread(solve_ridge)(shares, targets, start, 0.1)
    with on_ray() as spread:
        there = solve_ridge(shares, targets, start, 0.1, spread=spread)
    assert here.iterations > 1
    assert there.rows.tobytes() == here.rows.tobytes()


def test_a_folder_is_written_to_whatever_its_name(tmp_path: Path) -> None:
    RemoteFolder(folder_url(tmp_path / "our clüster"), "test").write("part", b"content")
    assert (tmp_path / "our clüster" / "part").read_bytes() == b"content"


def test_a_bucket_that_is_not_there_is_named_before_the_teacher_is_loaded(
    spec: TeacherSpec, bucket: Bucket, tmp_path: Path
) -> None:
    elsewhere = f"s3://{bucket.name}-elsewhere/parts"
    with pytest.raises(RemoteError, match="no such bucket"):
        encode_on_ray(EncodingWork([[1, 5, 2]]), spec, tmp_path, destination=elsewhere)


def test_the_address_of_rays_client_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ClusterError, match=r"RAY_ADDRESS=ray://head:10001: .* `ray start"), cluster():
        pass


def test_a_worker_takes_pickled_weights_where_the_recipe_does(
    modernbert: Path, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    folder = shutil.copytree(modernbert, tmp_path / "teacher")
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    for allowed in (True, False):
        made = recipe(teacher=str(folder), allow_pickled_weights=allowed)
        source = resolve_teacher(str(folder), None, known_commits=Path("none"), allow_pickled_weights=allowed)
        assert TeacherSpec(made, source.identity).source().identity == source.identity


def test_a_worker_that_would_run_another_pass_than_the_first_stops(spec: TeacherSpec, tmp_path: Path) -> None:
    _Worker(spec, "float32", "modernbert", folder_url(tmp_path))
    with pytest.raises(ClusterError, match="'modernbert' where another machine runs 'modernbert, with Triton kernels'"):
        _Worker(spec, "float32", "modernbert, with Triton kernels", folder_url(tmp_path))


def test_a_head_node_without_processors_does_not_shrink_the_workers() -> None:
    machines = [{"Alive": True, "Resources": {"memory": 1.0}}, {"Alive": True, "Resources": {"CPU": 8.0}}]
    cluster = SimpleNamespace(nodes=lambda: machines)
    assert resources_of_a_worker(cluster, "auto") == {"num_cpus": 8.0}


def test_a_gpu_is_taken_where_there_is_one_unless_the_recipe_runs_on_processors() -> None:
    cluster = SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}])
    assert resources_of_a_worker(cluster, "auto") == {"num_cpus": 1, "num_gpus": 1}
    assert resources_of_a_worker(cluster, "cuda:1") == {"num_cpus": 1, "num_gpus": 1}
    assert resources_of_a_worker(cluster, "cpu") == {"num_cpus": 8.0}


@pytest.mark.skipif(not Path("/proc/net/tcp6").exists(), reason="reads Linux's list of sockets")
def test_a_cluster_that_is_started_here_listens_to_this_machine_alone() -> None:
    program = (
        "from distill_pipeline.teacher.cluster import cluster\n"
        "with cluster() as ray:\n ray.get(ray.remote(lambda: 0).remote())\n print('up', flush=True)\n input()"
    )
    mark = f"OF_THIS_TEST={uuid4().hex}"  # which Ray's processes inherit
    name, _, value = mark.partition("=")
    environment = {key: text for key, text in os.environ.items() if not key.startswith("RAY_")}
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", program],
        env={**environment, name: value},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        heard = _listening(mark.encode())
        process.communicate("\n", timeout=60)
    assert len(heard) > 3
    assert not [address for address in heard if not address.endswith(("0100007F", "01000000"))]


def _listening(mark: bytes) -> list[str]:
    """Return the addresses, in hexadecimal, on which processes with this mark in their environment listen."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (process / "environ").read_bytes():
                sockets |= {str(file.readlink()) for file in (process / "fd").iterdir()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]

"""Encoding on a Ray cluster of two workers: the local encoder's bytes, whatever dies on the way."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distill_pipeline.disk import file_table
from distill_pipeline.distillation.cluster import (
    TeacherSpec,
    _Worker,
    announce,
    encode_on_ray,
    remove_surplus,
    resources_of_a_worker,
    source_of,
    url_of,
)
from distill_pipeline.distillation.earlier import EarlierOutput
from distill_pipeline.distillation.encoding import Precision, encode_to_parts, sentence_ids
from distill_pipeline.distillation.parts import Embeddings, part_name
from distill_pipeline.distillation.shards import ClusterError, corpus_shards, shards_of
from distill_pipeline.distillation.source import resolve_teacher
from distill_pipeline.distillation.teacher import Teacher
from distill_pipeline.recipe import Recipe
from distill_pipeline.remote_files import RemoteError, RemoteFolder
from distill_pipeline_tests.bucket import Bucket, S3Server

ray = pytest.importorskip("ray", reason="needs the extra ray")


@pytest.fixture(scope="module")
def spec(modernbert: Path) -> TeacherSpec:
    source = resolve_teacher(str(modernbert), None, known_commits=modernbert / "none.json")
    return TeacherSpec(str(modernbert), source.identity, "auto", "cpu", False, "float32", 0.999)


@pytest.fixture(scope="module", autouse=True)
def two_workers(s3: S3Server) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3.environment.items():  # which the workers inherit
            environment.setenv(name, value)
        # Ray's workers are polite, and other tests would leave them little of the processor.
        environment.setenv("RAY_worker_niceness", "0")
        # The process that settled one test's precision has torch imported for the next test's.
        environment.setenv("RAY_idle_worker_killing_time_threshold_ms", "600000")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", namespace="tests")
        yield
        ray.shutdown()


def test_a_worker_killed_half_way_costs_no_row_and_changes_no_byte(
    spec: TeacherSpec, bucket: Bucket, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    # Parts that take some tenths of a second, so that work is left when the first worker dies.
    sequences = [[1, *random.integers(5, 600, random.integers(40, 60)).tolist(), 2] for _ in range(1200)]
    local, cluster = tmp_path / "local", tmp_path / "cluster"
    local.mkdir()
    cluster.mkdir()
    encode_to_parts(sequences, spec.load(), local, rows_per_part=150)
    seen: list[str] = []
    workers: set[str] = set()

    def kill_the_first_worker(line: str) -> None:
        if " by worker " in line:
            seen.append(line)
            workers.add(line.rsplit(" ", 1)[1])
            if len(seen) == 2:
                os.kill(int(line.rsplit(":", 1)[1]), signal.SIGKILL)

    facts = encode_on_ray(
        shards_of(sequences, None, 150),
        spec,
        cluster,
        destination=bucket.url,
        cpus_per_worker=1,
        log=kill_the_first_worker,
    )
    assert facts["rows"] == 1200
    assert len(seen) == 8
    assert len(workers) > 1
    assert file_table(cluster) == file_table(local)
    parts = {name: content for name, content in bucket.objects().items() if name.startswith("part-")}
    assert parts == {path.name: path.read_bytes() for path in local.glob("part-*")}


def test_a_corpus_comes_back_part_by_part_through_a_url(spec: TeacherSpec, tmp_path: Path) -> None:
    texts = [f"the {word} of a house number {place}" for place in range(15) for word in ("roof", "door", "cellar")]
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    pq.write_table(pa.table({"text": texts[:25]}), corpus / "a.parquet", row_group_size=10)
    pq.write_table(pa.table({"text": texts[25:]}), corpus / "b.parquet")
    url, folder, local = (tmp_path / "bucket").as_uri(), tmp_path / "stage", tmp_path / "local"
    folder.mkdir()
    local.mkdir()
    shards = corpus_shards(corpus.as_uri())
    assert [(shard.first, shard.rows) for shard in shards] == [(0, 10), (10, 10), (20, 5), (25, 20)]
    encode_on_ray(shards, spec, folder, destination=url, fetch=False)
    assert file_table(folder) == {}
    ids = sentence_ids(Path(spec.location), texts, prompt=None)
    encode_to_parts(ids, spec.load(), local, texts=texts)
    tables = [pq.read_table(path) for path in sorted((tmp_path / "bucket").glob("part-*"))]
    assert pa.concat_tables(tables)["text"].to_pylist() == texts
    np.testing.assert_allclose(
        Embeddings.of_parts(tmp_path / "bucket").all(), Embeddings.of_parts(local).all(), atol=2e-6
    )
    (tmp_path / "bucket" / "part-000001.parquet").unlink()
    again = encode_on_ray(shards, spec, folder, destination=url, fetch=False)
    assert again["rows_resumed"] == 35


def test_texts_that_were_encoded_before_are_sent_to_no_worker(spec: TeacherSpec, tmp_path: Path) -> None:
    texts = [f"house number {place}" for place in range(45)]
    ids = sentence_ids(Path(spec.location), texts, prompt=None)
    before, folder = tmp_path / "before", tmp_path / "stage"
    before.mkdir()
    folder.mkdir()
    teacher = spec.load()
    encode_to_parts(ids, teacher, before, rows_per_part=16, texts=texts)
    parts = {name: file["sha256"] for name, file in file_table(before).items()}
    earlier = EarlierOutput(before, parts, teacher.precision, teacher.forward.name, teacher.device)
    facts = encode_on_ray(shards_of(ids, texts, 16), spec, folder, earlier=[earlier])
    assert facts["rows_resumed"] == 45
    assert file_table(folder) == file_table(before)


def test_another_corpus_or_teacher_is_told_apart_and_surplus_parts_go(spec: TeacherSpec, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.parquet"
    sources = []
    for text in ("one", "two"):
        pq.write_table(pa.table({"text": [text] * 4}), corpus, row_group_size=2)
        sources += [source_of(corpus_shards(str(corpus)), made) for made in (spec, replace(spec, prompt="query: "))]
    assert len({source["source"] for source in sources}) == 4
    assert source_of(shards_of([[1, 2]], None), spec) == {}
    bucket = RemoteFolder((tmp_path / "bucket").as_uri(), "test")
    assert announce(bucket, 3) == 0
    for number in range(3):
        bucket.write(part_name(number), b"part")
    assert announce(bucket, 1) == 3
    remove_surplus(bucket, 1, 3)
    assert sorted(path.name for path in (tmp_path / "bucket").iterdir()) == ["part-000000.parquet", "shards.json"]
    assert announce(bucket, 1) == 1


def test_a_folder_is_written_to_whatever_its_name(tmp_path: Path) -> None:
    RemoteFolder(url_of(tmp_path / "our clüster"), "test").write("part", b"content")
    assert (tmp_path / "our clüster" / "part").read_bytes() == b"content"


def test_a_bucket_that_is_not_there_is_named_before_the_teacher_is_loaded(
    spec: TeacherSpec, bucket: Bucket, tmp_path: Path
) -> None:
    elsewhere = f"s3://{bucket.name}-elsewhere/parts"
    with pytest.raises(RemoteError, match="no such bucket"):
        encode_on_ray(shards_of([[1, 5, 2]], None), spec, tmp_path, destination=elsewhere)


def test_a_worker_takes_pickled_weights_where_the_recipe_does(
    modernbert: Path, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    folder = shutil.copytree(modernbert, tmp_path / "teacher")
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    for allowed in (True, False):
        made = recipe(teacher=str(folder), allow_pickled_weights=allowed)
        source = resolve_teacher(str(folder), None, known_commits=Path("none"), allow_pickled_weights=allowed)
        assert TeacherSpec.of(made, source).source().identity == source.identity


def test_a_worker_that_would_run_another_pass_than_the_first_stops(spec: TeacherSpec, tmp_path: Path) -> None:
    _Worker(spec, "float32", "own", url_of(tmp_path))
    with pytest.raises(ClusterError, match="'own' where another machine runs 'own, with Triton kernels'"):
        _Worker(spec, "float32", "own, with Triton kernels", url_of(tmp_path))


@pytest.mark.parametrize(("used", "name"), [("float32", "own"), ("bfloat16", "own, with Triton kernels")])
def test_the_pass_is_that_of_the_precision_that_was_settled(
    spec: TeacherSpec, monkeypatch: pytest.MonkeyPatch, used: str, name: str
) -> None:
    def tried_with_kernels(teacher: Teacher, *_: object) -> Precision:
        assert teacher.forward.own is not None
        teacher.forward.own.kernels = object()
        return Precision(used, "tried")

    monkeypatch.setattr("distill_pipeline.distillation.cluster.settle_precision", tried_with_kernels)
    assert spec.settle([[1, 5, 2]]) == (Precision(used, "tried"), name, "cpu")


def test_a_head_node_without_processors_does_not_shrink_the_workers() -> None:
    machines = [{"Alive": True, "Resources": {"memory": 1.0}}, {"Alive": True, "Resources": {"CPU": 8.0}}]
    cluster = SimpleNamespace(nodes=lambda: machines)
    assert resources_of_a_worker(cluster, None, "auto") == {"num_cpus": 8.0}


def test_a_gpu_is_taken_where_there_is_one_unless_the_recipe_runs_on_processors() -> None:
    cluster = SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}])
    assert resources_of_a_worker(cluster, None, "auto") == {"num_cpus": 1, "num_gpus": 1}
    assert resources_of_a_worker(cluster, None, "cuda:1") == {"num_cpus": 1, "num_gpus": 1}
    assert resources_of_a_worker(cluster, None, "cpu") == {"num_cpus": 8.0}


def test_a_corpus_without_the_column_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(ClusterError, match=r"no column 'text'.*it has body"):
        corpus_shards(str(tmp_path))

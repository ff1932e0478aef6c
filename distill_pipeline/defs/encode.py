"""What the two assets that run the teacher share: where it runs, and the metadata about it.

Holds no numerics: the encoders are in `teacher/encoding.py` and `teacher/cluster.py`.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from distill_pipeline.chain.stages import same_encoding
from distill_pipeline.defs.stage import StageRun
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.store.environment import library_versions, machine
from distill_pipeline.store.locks import locked
from distill_pipeline.store.output import Output
from distill_pipeline.teacher.backends import chosen_encoder
from distill_pipeline.teacher.check import check_teacher
from distill_pipeline.teacher.encoding import (
    EncodingWork,
    TeacherSetup,
    encode_to_parts,
    probe_sample,
    settle_precision,
)
from distill_pipeline.teacher.passes.forward import Pooling
from distill_pipeline.teacher.reuse import EarlierOutput
from distill_pipeline.teacher.teacher import Teacher


def encode_with_teacher(
    run: StageRun, sequences: Sequence[Sequence[int]], groups: Sequence[Sequence[str]] | None = None
) -> dict[str, Any]:
    """Encode token-id sequences into the stage's folder, where `$DISTILL_ENCODER` says, and return facts.

    Where the teacher runs changes no byte of the output, so it is in no fingerprint; and it is the process's setting,
    not a run's: a launch must not send a recipe to another machine.

    `groups` are the sequences' texts, if they have any. Those that the same teacher encoded for an earlier output are
    copied from there, unless the stage is forced. Each group begins a new part, so that a longer one doesn't move the
    rows of the next ones.

    Raises:
        DistillError: The encoder doesn't exist.
    """
    encoder = chosen_encoder()
    with nullcontext() if encoder == "ray" else teacher_lock(run):
        # Listed only now: while this run waited, another may have encoded some of the texts.
        earlier = [] if groups is None or run.forced else _earlier(run)
        work = EncodingWork(sequences, groups, earlier)
        facts = _on_ray(run, work) if encoder == "ray" else _here(run, work)
    return {
        **facts,
        "dimensions": Embeddings.of_parts(run.folder).dimensions,
        "empty": sum(not sequence for sequence in sequences),
    }


def _earlier(run: StageRun) -> list[EarlierOutput]:
    """Return outputs in this store that the same teacher made, with the same libraries on the same kind of machine."""
    return [
        (folder, manifest)
        for folder, manifest in run.home.store.manifests(run.key.stage)
        if (manifest["machine"], manifest["versions"]) == (machine(), library_versions())
        and same_encoding(manifest["made_of"], run.key.inputs)
    ]


def teacher_lock(run: StageRun) -> AbstractContextManager[Any]:
    """Return a lock that waits until no other run on this machine has a teacher loaded.

    Dagster's pool limits the runs of a daemon; this also covers runs from command lines.
    """
    busy = run.home.home.root / f"teacher.{platform.node()}.lock"
    return locked(busy, lambda: run.log("another run on this machine uses a teacher; waiting for it"))


def load_settled(run: StageRun, pooling: Pooling, sequences: Sequence[Sequence[int]]) -> tuple[Teacher, TeacherSetup]:
    """Return the teacher in the recipe's precision, and how it runs; a sample of the sequences settles `auto`."""
    teacher = run.load_teacher(pooling)
    setup = settle_precision(teacher, run.recipe.precision, probe_sample(sequences))
    if setup.precision != teacher.precision:
        teacher = run.load_teacher(pooling)
    return teacher, setup


def _here(run: StageRun, work: EncodingWork) -> dict[str, Any]:
    teacher, setup = load_settled(run, run.recipe.pooling, work.sequences)
    reason = setup.precision_reason
    run.log(f"encoding {len(work.sequences):,} rows in {setup.precision} on {setup.device}: {reason}")
    if teacher.forward.why_no_kernels:
        run.log(f"without the GPU's kernels, so slower: {teacher.forward.why_no_kernels}")
    kept = encode_to_parts(work, teacher, run.folder, run.reporter())
    return setup.facts(len(work.sequences), kept)


def _on_ray(run: StageRun, work: EncodingWork) -> dict[str, Any]:
    from distill_pipeline.teacher.cluster import PARTS_URL, TeacherSpec, encode_on_ray

    check_teacher(run.teacher_source, run.recipe)
    url = os.environ.get(PARTS_URL)
    return encode_on_ray(
        work,
        TeacherSpec(run.recipe, run.teacher_source.identity),
        run.folder,
        # A separate folder, since other stages and recipes write parts of the same names.
        destination=f"{url.rstrip('/')}/{run.key.stage}/{run.key.fingerprint}" if url else None,
        report=run.reporter(),
        log=run.log,
    )


def encoding_metadata(output: Output) -> Mapping[str, Any]:
    """Return the facts of `encode_with_teacher` as metadata."""
    facts = output.facts
    names = ("dimensions", "precision", "precision_reason", "device", "forward", "rows_resumed")
    return {
        **{name: facts[name] for name in names},
        "min_cosine_to_float32": facts["min_cosine_to_float32"] or "not measured in float32",
        "dagster/row_count": facts["rows"],
    }

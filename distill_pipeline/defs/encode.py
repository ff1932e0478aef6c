"""What the assets that run the teacher share: where it runs, and metadata about the encoding.

Holds no numerics: the encoders are in `teacher/encoding.py` and `teacher/cluster.py`.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from pydantic import Field

from distill_pipeline.chain.stages import same_encoding
from distill_pipeline.defs.stage import StageConfig, StageRun
from distill_pipeline.store.disk import locked
from distill_pipeline.store.embeddings import Embeddings
from distill_pipeline.store.environment import library_versions, machine
from distill_pipeline.store.output import Output
from distill_pipeline.teacher.backends import ENCODERS, check_encoder
from distill_pipeline.teacher.encoding import encode_to_parts, probe_sample, settle_precision


class EncoderConfig(StageConfig):
    """Where the teacher runs. It changes no byte of the output, so no fingerprint contains it."""

    encoder: str = Field(
        default="",
        description=f"One of {', '.join(ENCODERS)}: this machine, or a Ray cluster (extra ray). "
        "Empty: $DISTILL_ENCODER, or local.",
    )
    parts_url: str = Field(
        default="",
        description="fsspec URL that Ray's workers write to, such as s3://bucket/parts. Empty: $DISTILL_PARTS_URL, "
        "or the store's own folder, which all machines must see.",
    )


def encode_with_teacher(
    run: StageRun,
    config: EncoderConfig,
    sequences: Sequence[Sequence[int]],
    *,
    texts: Sequence[str] | None = None,
    groups: Sequence[int] = (),
) -> dict[str, Any]:
    """Encode token-id sequences into the stage's folder, on the configured encoder, and return facts.

    Texts that the same teacher encoded for an earlier output are copied from there, unless the stage is forced. Each
    group, given by its size, begins a new part, so that a longer group doesn't shift the rows of the next ones.

    Raises:
        EncoderError: There is no such encoder.
    """
    on_ray = check_encoder(config.encoder or os.environ.get("DISTILL_ENCODER") or "local") == "ray"
    with nullcontext() if on_ray else teacher_lock(run):
        options: dict[str, Any] = {
            "texts": texts,
            "groups": groups,
            "earlier": [] if texts is None or config.force else _earlier_outputs(run),
            "report": run.reporter(),
        }
        facts = _on_ray(run, config, sequences, options) if on_ray else _locally(run, sequences, options)
    return {
        **facts,
        "dimensions": Embeddings.of_parts(run.folder).dimensions,
        "empty": sum(not sequence for sequence in sequences),
    }


def _earlier_outputs(run: StageRun) -> list[tuple[Path, Mapping[str, Any]]]:
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
    path = Path(run.home.path) / f"teacher.{platform.node()}.lock"
    return locked(path, lambda: run.log("another run on this machine uses a teacher; waiting for it"))


def _locally(run: StageRun, sequences: Sequence[Sequence[int]], options: Mapping[str, Any]) -> dict[str, Any]:
    teacher = run.load_teacher()
    setup = settle_precision(teacher, run.recipe.precision, probe_sample(sequences))
    if setup.precision != teacher.precision:
        teacher = run.load_teacher()
    run.log(f"encoding {len(sequences):,} rows in {setup.precision} on {setup.device}: {setup.precision_reason}")
    if teacher.forward.why_no_kernels:
        run.log(f"without the GPU's kernels, so slower: {teacher.forward.why_no_kernels}")
    return setup.facts(len(sequences), encode_to_parts(sequences, teacher, run.folder, **options))


def _on_ray(
    run: StageRun, config: EncoderConfig, sequences: Sequence[Sequence[int]], options: Mapping[str, Any]
) -> dict[str, Any]:
    from distill_pipeline.teacher.cluster import PARTS_URL, TeacherSpec, encode_on_ray

    url = config.parts_url or os.environ.get(PARTS_URL)
    # A separate folder, since other stages and recipes write parts with the same names.
    destination = f"{url.rstrip('/')}/{run.key.stage}/{run.key.fingerprint}" if url else None
    spec = TeacherSpec(run.recipe, run.teacher_source.identity)
    return encode_on_ray(sequences, spec, run.folder, destination=destination, log=run.log, **options)


def encoding_metadata(output: Output) -> Mapping[str, Any]:
    """Return the facts of `encode_with_teacher` as metadata."""
    facts = output.facts
    names = ("dimensions", "precision", "precision_reason", "device", "forward", "rows_resumed")
    return {
        **{name: facts[name] for name in names},
        "min_cosine_to_float32": facts["min_cosine_to_float32"] or "not measured in float32",
        "dagster/row_count": facts["rows"],
    }

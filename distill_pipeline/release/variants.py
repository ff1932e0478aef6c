"""Variants of a student in the same release: other dtypes, fewer dimensions, ONNX. Each is checked.

They are made from the released model alone, each in a folder of its name:
`StaticModel.from_pretrained(repository, subfolder="int8")`. The ONNX files use the tokenizer in the release's root;
router holds the teacher too.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from distill_pipeline.errors import DistillError, install_hint
from distill_pipeline.student.folder import converted, read_golden, unknown_id
from distill_pipeline.student.onnx_files import ONNX_FORMS, SENTENCES, OnnxError, write_onnx
from distill_pipeline.student.router import write_router
from distill_pipeline.teacher.source import TeacherSource

ONNX, ROUTER = "onnx", "router"

_TOLERANCES = {"float32": 1e-5, "float16": 1e-5, "router": 1e-5, "dims": 1e-5, "int8": 1e-3}
"""Largest distance (1 - cosine) of a golden text's vector from the golden one."""


class VariantError(DistillError):
    """A variant can't be made, or gives wrong vectors."""


def write_variant(release: Path, variant: str, teacher: TeacherSource | None = None, prompt: str | None = None) -> None:
    """Write a variant (float32, float16, int8, onnx, router or dims-N) of a release's model into its folder there.

    `teacher` and the recipe's `prompt` are what router reads.

    Raises:
        TeacherError: The teacher can't be loaded.
        VariantError: It is impossible for this student, or needs a package that is missing.
    """
    if variant == ONNX:
        _write_onnx(release)
        return
    if variant == ROUTER:
        if teacher is None:
            raise VariantError("variants: router needs the teacher")
        write_router(release / ROUTER, release, teacher, prompt)
        return
    from model2vec.persistence import save_pretrained

    tensors = load_file(release / "model.safetensors")
    rows, scales = tensors["embeddings"], tensors.get("weights")
    if variant.startswith("dims-"):
        dims = int(variant.removeprefix("dims-"))
        if dims >= rows.shape[1]:
            raise VariantError(f"variants: {variant} is no less than the student's {rows.shape[1]} dimensions")
        rows = rows[:, :dims]
    elif rows.dtype == np.int8:
        raise VariantError(f"variants: {variant} can't be made of an int8 student; set dtype: float16")
    else:
        rows, scales = converted(rows, variant)
    config = json.loads((release / "config.json").read_text(encoding="utf-8"))
    save_pretrained(
        release / variant,
        rows,
        Tokenizer.from_file(str(release / "tokenizer.json")),
        {**config, "hidden_dim": int(rows.shape[1])},
        create_model_card=False,
        weights=scales,
    )


def _write_onnx(release: Path) -> None:
    tensors = load_file(release / "model.safetensors")
    rows, scales = tensors["embeddings"], tensors.get("weights")
    wide = rows.astype(np.float32) * (1 if scales is None else scales[:, None])
    unknown = unknown_id(Tokenizer.from_file(str(release / "tokenizer.json")))
    if unknown is not None:
        wide[unknown] = 0
    (release / ONNX).mkdir()
    try:
        for name, dtype in ONNX_FORMS.items():
            write_onnx(release / ONNX / name, *converted(wide, dtype))
    except ImportError as error:
        raise VariantError(f"variants: onnx needs ONNX: {install_hint('onnx')}") from error
    except OnnxError as error:
        raise VariantError(f"variants: {error}") from error


def check_variant(release: Path, variant: str) -> Mapping[str, float]:
    """Return how far a variant's vectors of the golden texts are from the golden ones: the largest 1 - cosine by file.

    Raises:
        VariantError: A distance exceeds this variant's tolerance, or is not finite.
    """
    texts, expected = read_golden(release)
    if variant == ONNX:
        found = {f"{ONNX}/{name}": (dtype, _encode_onnx(release, name, texts)) for name, dtype in ONNX_FORMS.items()}
    else:
        encode = _encode_queries if variant == ROUTER else _encode
        found = {variant: (variant.partition("-")[0], encode(release / variant, texts))}
    # What is made of an int8 student is as far off as that.
    with safe_open(release / "model.safetensors", framework="numpy") as tensors:
        int8 = "weights" in tensors.keys()  # noqa: SIM118 -- no mapping
    distances = {}
    for name, (kind, vectors) in found.items():
        distance = distances[name] = float(_distances(expected[:, : vectors.shape[1]], vectors).max())
        tolerance = _TOLERANCES["int8" if int8 else kind]
        if not distance <= tolerance:
            raise VariantError(
                f"{release / name}: a golden vector is {distance:.2g} (1 - cosine) away; {kind} may be {tolerance:g}"
            )
    return distances


def _encode(folder: Path, texts: list[str]) -> npt.NDArray[np.floating]:
    from model2vec import StaticModel

    return np.asarray(StaticModel.from_pretrained(folder).encode(texts))


def _encode_queries(folder: Path, texts: list[str]) -> npt.NDArray[np.floating]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    queries = np.asarray(model.encode_query(texts))
    documents = np.asarray(model.encode_document(texts[:2]))
    if documents.shape[1] != queries.shape[1] or not np.isfinite(documents).all():
        raise VariantError(f"{folder}: documents have {documents.shape[1]} numbers, queries {queries.shape[1]}")
    return queries


def _encode_onnx(release: Path, name: str, texts: list[str]) -> npt.NDArray[np.floating]:
    try:
        import onnxruntime
    except ImportError as error:
        raise VariantError(f"checking an onnx variant needs ONNX Runtime: {install_hint('onnx')}") from error
    session = onnxruntime.InferenceSession(release / ONNX / name, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(release / "tokenizer.json"))
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64).reshape(1, -1)
        rows.append(session.run([SENTENCES], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0])
    return np.stack(rows)


def _distances(expected: npt.NDArray[np.floating], found: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return 1 - cosine of each pair of rows; two zero rows are equal, and NaN stays NaN."""
    a, b = expected.astype(np.float64), found.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        distances = np.where(norms == 0, 1.0, 1 - (a * b).sum(axis=1) / norms)
    result: npt.NDArray[np.float64] = np.where(both_zero, 0.0, distances)
    return result

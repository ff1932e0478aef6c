"""The student as ONNX files, in the layout that transformers.js and FastEmbed expect. Needs the package onnx."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import DistillError

ONNX_FORMS: Mapping[str, str] = {"model.onnx": "float32", "model_fp16.onnx": "float16", "model_quantized.onnx": "int8"}
"""Dtypes of the rows by the names that transformers.js gives its `dtype`s fp32, fp16 and q8."""

SENTENCES, TOKENS = "sentence_embedding", "token_embeddings"

_MAX_BYTES = 2**31 - 2**20
"""Of one ONNX file, a Protocol Buffers message, less what is not the table."""

_OPSET, _IR = 18, 8
"""Older than the library's own, so that older runtimes read them."""


class OnnxError(DistillError):
    """A student that can't be written as ONNX."""


def write_onnx(path: Path, rows: npt.NDArray[Any], scales: npt.NDArray[np.float32] | None) -> None:
    """Write a static model as one ONNX file: `input_ids` and `attention_mask`, int64 (texts, tokens), go in.

    `sentence_embedding`, float32 (texts, dims), is the mean at unit length, zeros for a text without tokens;
    `token_embeddings`, float32 (texts, tokens, dims), are the rows, from which pipelines make their own mean.

    Args:
        path: Where to write.
        rows: float32, float16 or int8 (entries, dims); the unknown token's must be zero, since it doesn't count.
        scales: float32 (entries,), the factors of int8 rows.

    Raises:
        OnnxError: The rows exceed what one file holds.
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    if rows.nbytes > _MAX_BYTES:
        raise OnnxError(f"{path.name}: {rows.nbytes:,} bytes of rows; an ONNX file holds {_MAX_BYTES:,}")
    constants = {
        "rows": np.ascontiguousarray(rows),
        "last": np.array([-1], dtype=np.int64),
        "tokens": np.array([1], dtype=np.int64),
        "smallest": np.array(1e-12, dtype=np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Gather", ["rows", "input_ids"], ["gathered"]),
        node("Cast", ["gathered"], ["wide"], to=TensorProto.FLOAT),  # sums of float16 would lose digits
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
    ]
    factor = "mask"
    if scales is not None:
        constants["scales"], factor = scales, "scaled_mask"
        nodes += [node("Gather", ["scales", "input_ids"], ["scale"]), node("Mul", ["scale", "mask"], [factor])]
    nodes += [
        node("Unsqueeze", [factor, "last"], ["factors"]),
        node("Mul", ["wide", "factors"], [TOKENS]),
        node("ReduceSum", [TOKENS, "tokens"], ["sums"], keepdims=0),
        node("ReduceL2", ["sums", "last"], ["lengths"], keepdims=1),
        node("Max", ["lengths", "smallest"], ["divisors"]),
        node("Div", ["sums", "divisors"], [SENTENCES]),
    ]
    shape: list[str | int] = ["batch_size", "sequence_length"]
    dims = int(rows.shape[1])
    graph = helper.make_graph(
        nodes,
        "static_model",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [
            helper.make_tensor_value_info(SENTENCES, TensorProto.FLOAT, ["batch_size", dims]),
            helper.make_tensor_value_info(TOKENS, TensorProto.FLOAT, [*shape, dims]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    checker.check_model(model)
    save(model, path)

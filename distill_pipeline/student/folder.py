"""The student: writing a Model2Vec folder, and what any runtime must give for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models

from distill_pipeline.errors import DistillError
from distill_pipeline.store.embeddings import embedding_array, write_table
from distill_pipeline.vocabulary.words import MAX_LENGTH

GOLDEN = "golden.parquet"

TOLERANCE = 2e-3
"""Largest difference from a golden vector's numbers (unit length); float16 arithmetic stays within it."""

# The last is cut where its words change. They are short because model2vec cuts at so many times the median length of an
# entry, in characters, before it cuts at tokens.
_EDGE_CASES = ("", " ", "a", "☃ 你好 naïve café", "a " * MAX_LENGTH + "b " * 88)


class StudentError(DistillError):
    """A student that doesn't give the vectors it should."""


def write_student(
    folder: Path,
    tokenizer: Tokenizer,
    rows: npt.NDArray[np.float32],
    *,
    dtype: str,
    config: dict[str, Any],
    texts: Sequence[str],
) -> dict[str, Any]:
    """Write the Model2Vec folder and its golden vectors.

    Args:
        folder: Where to write.
        tokenizer: Entry i has id i.
        rows: float32 (entries, dims), each times its weight.
        dtype: float16, float32 or int8, as `model2vec.quantization` converts them.
        config: Entries of `config.json` beyond those of model2vec.
        texts: Texts for golden vectors; edge cases (empty, unknown characters, too long) are added.

    Returns:
        Facts: rows, dimensions, dtype, parameters.
    """
    from model2vec.persistence import save_pretrained
    from model2vec.quantization import DType, quantize_embeddings

    embeddings = quantize_embeddings(rows, DType(dtype))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    full_config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "hidden_dim": int(embeddings.shape[1]),
        "seq_length": 1000000,
        "normalize": True,
        "max_length": MAX_LENGTH,
        **config,
    }
    save_pretrained(folder, embeddings, tokenizer, full_config, create_model_card=False)
    golden = [*texts, *_EDGE_CASES]
    write_table(folder / GOLDEN, {"text": golden, "embedding": embedding_array(reference_vectors(folder, golden))})
    return {"rows": len(rows), "dimensions": int(embeddings.shape[1]), "dtype": dtype}


def reference_vectors(folder: Path, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Encode texts by the definition of a static model, in float64 and without any runtime.

    The mean of the rows of a text's tokens (unknown ones left out), at unit length; zeros for no tokens.

    Returns:
        float32 (texts, dims).
    """
    tensors = load_file(folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    unknown = _unknown_id(tokenizer)
    table = tensors["embeddings"].astype(np.float64)
    vectors = np.zeros((len(texts), table.shape[1]))
    for number, encoding in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
        ids = np.array([token for token in encoding.ids if token != unknown], dtype=np.int64)
        if not len(ids):
            continue
        vectors[number] = table[ids].mean(axis=0)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: npt.NDArray[np.float32] = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return result


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of a tokenizer's unknown token, or None when it has none."""
    if isinstance(tokenizer.model, models.Unigram):  # which alone doesn't tell it
        found: int | None = json.loads(tokenizer.to_str())["model"].get("unk_id")
        return found
    unknown: str | None = tokenizer.model.unk_token
    return None if unknown is None else tokenizer.token_to_id(unknown)


def read_golden(folder: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return the golden texts and their float32 (texts, dims) vectors."""
    table = pq.read_table(folder / GOLDEN)
    column = table["embedding"].combine_chunks()
    return table["text"].to_pylist(), column.flatten().to_numpy().reshape(len(column), -1)


def verify_golden(folder: Path) -> float:
    """Load the student in model2vec, encode the golden texts, and return the largest difference.

    Raises:
        StudentError: The difference exceeds `TOLERANCE`, or a value is not finite.
    """
    from model2vec import StaticModel

    texts, expected = read_golden(folder)
    student = StaticModel.from_pretrained(folder)
    # An int8 matrix has lost its scale; unit length makes up for it, in either runtime.
    differences = np.abs(np.asarray(student.encode(texts), dtype=np.float64) - expected).max(axis=1)
    worst = int(differences.argmax())  # the first that is no number, if there is one
    difference = float(differences[worst])
    if not difference <= TOLERANCE:
        # model2vec rounds a text's mean to float16, which knows no number between 0 and 6e-8.
        hint = (
            "; if its rows are very small, dtype: float32 keeps their digits"
            if student.embedding.dtype == np.float16
            else ""
        )
        raise StudentError(
            f"{folder}: model2vec's vector of the golden text {texts[worst][:40]!r} differs by {difference:.2g}, "
            f"more than {TOLERANCE}{hint}"
        )
    return difference

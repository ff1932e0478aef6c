"""The student: writing a Model2Vec folder, and the vectors that every runtime must give for it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from tokenizers import Tokenizer, models

from distill_pipeline.errors import DistillError
from distill_pipeline.store.embeddings import Embeddings, embedding_array, write_table
from distill_pipeline.student.tokenizer_files import write_tokenizer_files
from distill_pipeline.vocabulary.words import MAX_LENGTH

GOLDEN = "golden.parquet"

TOLERANCES: Mapping[str, float] = {"float32": 1e-5, "float16": 2e-3, "int8": 1e-2}
"""Maximum difference from a golden vector's numbers (unit length), by the student's dtype."""

_EDGE_CASES = (
    "",
    " ",
    "\t \n\u3000",
    "a",
    "☃ 你好 naïve café",
    "nai\u0308ve cafe\u0301",  # the same accents, decomposed
    "Ｆｕｌｌ　ｗｉｄｔｈ，ｏｎｅ",
    "👩\u200d🔬 🇨🇭 an owl 🦉",
    "你好，世界。東京都に住む猫",
    f"https://example.org/{'a-long/path.of_letters?and=signs&' * 6}"[:200],
    # Truncated where its words change. They are short because model2vec truncates by characters first, at a multiple
    # of the median length of an entry.
    "a " * MAX_LENGTH + "b " * 88,
)
"""What breaks tokenizers."""

_PHRASES = 3
"""Entries of several words that golden texts show between words and within."""


class StudentError(DistillError):
    """A student whose vectors differ from the golden ones."""


def write_student(
    folder: Path,
    tokenizer: Tokenizer,
    rows: npt.NDArray[np.float32],
    *,
    dtype: str,
    config: dict[str, Any],
    texts: Sequence[str],
) -> dict[str, Any]:
    """Write the Model2Vec folder and its golden vectors; return rows, dimensions and dtype.

    Args:
        folder: Where to write.
        tokenizer: Entry i has id i.
        rows: float32 (entries, dims), each times its weight.
        dtype: float16, float32 or int8, see `converted`.
        config: Entries of `config.json` in addition to model2vec's.
        texts: For golden vectors, in addition to edge cases and to phrases within words.
    """
    from model2vec.persistence import save_pretrained

    embeddings, scales = converted(rows, dtype)
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.post_processor = None  # most runtimes would put its special tokens around a text
    unknown = unknown_id(tokenizer)
    padding = write_tokenizer_files(folder, tokenizer, unknown=unknown, max_length=MAX_LENGTH)
    full_config = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "hidden_dim": int(embeddings.shape[1]),
        "seq_length": 1000000,
        "normalize": True,
        "max_length": MAX_LENGTH,
        "pad_token_id": padding,
        **config,
    }
    save_pretrained(folder, embeddings, tokenizer, full_config, create_model_card=False, weights=scales)
    golden = [*texts, *_EDGE_CASES, *_phrases_within_words(tokenizer)]
    # Of the rows before the conversion: made of those after it, they would hide what it costs.
    vectors = reference_vectors(Tokenizer.from_file(str(folder / "tokenizer.json")), rows, golden)
    write_table(folder / GOLDEN, {"text": golden, "embedding": embedding_array(vectors)})
    return {"rows": len(rows), "dimensions": int(embeddings.shape[1]), "dtype": dtype}


def _phrases_within_words(tokenizer: Tokenizer) -> list[str]:
    added = tokenizer.get_added_tokens_decoder()
    phrases = [added[row].content for row in sorted(added) if " " in added[row].content]
    return [f"{phrase}, not x{phrase}y" for phrase in phrases[:_PHRASES]]


def converted(rows: npt.NDArray[np.floating], dtype: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None]:
    """Return rows as float16, float32 or int8, and for int8 the factor of each row, which undoes its scaling.

    The factors are a Model2Vec folder's `weights`, one per token, which model2vec multiplies with before it averages,
    and sentence_transformers from version 6 on. With one scale for all rows, as in `model2vec.quantization`, the short
    row of a frequent token keeps only a few steps: for a student of all-MiniLM-L6-v2, the vector of such a token alone
    was 0.23 (1 - cosine) off.
    """
    if dtype != "int8":
        return rows.astype(dtype), None
    wide = rows.astype(np.float32)
    scales = (np.abs(wide).max(axis=1) / 127).astype(np.float32)
    return np.rint(wide / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8), scales


def reference_vectors(
    tokenizer: Tokenizer, rows: npt.NDArray[np.floating], texts: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Encode texts by the definition of a static model, in float64 and without any runtime: float32 (texts, dims).

    The mean of the rows of a text's tokens, except unknown ones, at unit length; zeros without tokens.
    """
    unknown = unknown_id(tokenizer)
    vectors = np.zeros((len(texts), rows.shape[1]))
    for number, encoding in enumerate(tokenizer.encode_batch(list(texts), add_special_tokens=False)):
        ids = np.array([token for token in encoding.ids if token != unknown], dtype=np.int64)
        if len(ids):
            vectors[number] = rows[ids].mean(axis=0, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: npt.NDArray[np.float32] = (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
    return result


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of a tokenizer's unknown token, or None if it has none."""
    if isinstance(tokenizer.model, models.Unigram):  # has no attribute for it
        found: int | None = json.loads(tokenizer.to_str())["model"].get("unk_id")
        return found
    unknown: str | None = tokenizer.model.unk_token
    return None if unknown is None else tokenizer.token_to_id(unknown)


def read_golden(folder: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return the golden texts and their float32 (texts, dims) vectors."""
    texts = pq.read_table(folder / GOLDEN, columns=["text"])["text"].to_pylist()
    return texts, Embeddings([folder / GOLDEN]).all()


def verify_golden(folder: Path) -> float:
    """Return the largest difference between model2vec's vectors of the golden texts and the golden ones.

    Raises:
        StudentError: The difference exceeds the dtype's in `TOLERANCES`, or a value is not finite.
    """
    from model2vec import StaticModel

    texts, expected = read_golden(folder)
    student = StaticModel.from_pretrained(folder)
    differences = np.abs(np.asarray(student.encode(texts), dtype=np.float64) - expected).max(axis=1)
    worst = int(differences.argmax())  # the first NaN, if any
    difference = float(differences[worst])
    dtype = student.embedding.dtype.name
    if not difference <= TOLERANCES[dtype]:
        hint = ""
        if dtype == "float16":  # model2vec rounds means to it; its smallest number is 6e-8
            hint = "; if its rows are very small, dtype: float32 keeps their digits"
        raise StudentError(
            f"{folder}: model2vec's vector of the golden text {texts[worst][:40]!r} differs by {difference:.2g}, "
            f"more than {TOLERANCES[dtype]:g}, which {dtype} may{hint}"
        )
    return difference

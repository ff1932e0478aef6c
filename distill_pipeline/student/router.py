"""The student and its teacher as one package of sentence_transformers: static queries, the teacher's documents."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from distill_pipeline.fitting.projection import Projection, read_projection
from distill_pipeline.teacher.source import TeacherSource
from distill_pipeline.teacher.teacher import load_model

if TYPE_CHECKING:
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding


def write_router(folder: Path, student: Path, teacher: TeacherSource, prompt: str | None) -> None:
    """Write the package, with the teacher's weights: the student in `encode_query`, the teacher in `encode_document`.

    In a space of the student's own, documents are projected into it; scores are dot products.

    Args:
        folder: Where to write.
        student: The Model2Vec folder, with its projection unless it lies in the teacher's space.
        teacher: Its files; its own code is never run.
        prompt: What the teacher reads before each document.

    Raises:
        TeacherError: The teacher's files don't form a Sentence Transformer, or need code of their own.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Router

    documents: list[Any] = list(load_model(teacher, "cpu", trust_remote_code=False))
    if not isinstance(documents[-1], Normalize):
        documents.append(Normalize())
    projection = read_projection(student)
    if projection is not None:
        documents.append(_dense(projection))
    router = Router.for_query_document([_static(student), Normalize()], documents)
    prompts = {"query": "", "document": prompt or ""}
    SentenceTransformer(modules=[router], prompts=prompts, similarity_fn_name="dot").save(
        str(folder), create_model_card=False
    )


def _static(student: Path) -> "StaticEmbedding":
    """Return the student's rows as a module, in float32: in float16 a text without tokens would give NaN."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tensors = load_file(student / "model.safetensors")
    rows: npt.NDArray[np.float32] = tensors["embeddings"].astype(np.float32)
    if "weights" in tensors:
        rows *= tensors["weights"][:, None]
    return StaticEmbedding(Tokenizer.from_file(str(student / "tokenizer.json")), embedding_weights=rows)


def _dense(projection: Projection) -> Any:
    import torch
    from sentence_transformers.base.modules import Dense

    size = projection.weights.shape
    dense = Dense(size[0], size[1], bias=True, activation_function=torch.nn.Identity())
    dense.linear.weight.data = torch.from_numpy(projection.weights.T.copy())
    dense.linear.bias.data = torch.from_numpy(projection.bias)
    return dense

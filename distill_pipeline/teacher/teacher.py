"""A loaded Sentence Transformer that turns token ids into rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import TeacherError
from distill_pipeline.teacher.passes.forward import Forward, Pooling
from distill_pipeline.teacher.source import TeacherSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Teacher:
    """A loaded Sentence Transformer that turns token ids into rows."""

    def __init__(self, model: SentenceTransformer, pooling: Pooling) -> None:
        self.model = model.eval()
        self.backbone = model[0].auto_model
        self.device = str(self.backbone.device)
        self.forward = Forward(model, pooling)
        self.precision: Literal["float32", "bfloat16"] = "float32"

    def to_bfloat16(self) -> None:
        """Convert the transformer's weights in place; the modules after it stay in float32."""
        self.forward.to_bfloat16()
        self.precision = "bfloat16"

    def rows(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return the rows of token-id sequences, special tokens included, float32 (n, dims).

        Sequences of one length run together, so that nothing is padded or masked. Several threads may call this.

        Raises:
            TeacherError: `pooling` is "pooler", but this teacher has no pooler.
        """
        lengths = np.array([len(sequence) for sequence in sequences])
        rows = np.empty((len(sequences), 0), dtype=np.float32)
        for length in np.unique(lengths):
            positions = np.flatnonzero(lengths == length).tolist()
            encoded = self.forward.rows(np.array([sequences[position] for position in positions], dtype=np.int64))
            if not rows.size:
                rows = np.empty((len(sequences), encoded.shape[1]), dtype=np.float32)
            rows[positions] = encoded
        return rows

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> npt.NDArray[np.float32]:
        """Return what sentence_transformers gives for texts with this prompt and no other, float32 (n, dims)."""
        prompted = [f"{prompt or ''}{text}" for text in texts]
        # An empty prompt keeps the teacher from adding its default one.
        return np.asarray(self.model.encode(prompted, prompt="", show_progress_bar=False), dtype=np.float32)


def load_teacher(source: TeacherSource, *, pooling: Pooling, device: str, trust_remote_code: bool) -> Teacher:
    """Return a teacher loaded in float32 from local files: safetensors, unless its source allows pickled weights.

    Raises:
        TeacherError: Its files don't form a Sentence Transformer, or need code that the recipe doesn't trust.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # its reports of unused checkpoint entries need no action
    transformers_logging.disable_progress_bar()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = SentenceTransformer(
            str(source.folder),
            device=device,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            # attn_implementation isn't set: transformers uses sdpa where the architecture supports it.
            model_kwargs={"dtype": "float32", "use_safetensors": None if source.allow_pickled_weights else True},
        )
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise TeacherError(
                f"the teacher {source.folder.name} brings its own Python code: read it, then set trust_remote_code"
            ) from error
        raise
    return Teacher(model, pooling)

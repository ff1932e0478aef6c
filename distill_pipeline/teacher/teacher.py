"""A loaded Sentence Transformer that turns token ids into rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import TeacherError
from distill_pipeline.teacher.layout import read_json, read_modules, transformer_folder
from distill_pipeline.teacher.passes.forward import MAX_REASON_CHARACTERS, Forward, Pooling
from distill_pipeline.teacher.source import TeacherSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Teacher:
    """A loaded Sentence Transformer that turns token ids into rows."""

    def __init__(self, model: SentenceTransformer, pooling: Pooling, prompt: str | None = None) -> None:
        self.model = model.eval()
        self.backbone = model[0].auto_model
        self.device = str(self.backbone.device)
        self.forward = Forward(model, pooling)
        if prompt and not all(getattr(module, "include_prompt", True) for module in model):
            self.forward.prompt_length = model.preprocess([""], prompt=prompt)["prompt_length"]
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
        # An empty prompt keeps the teacher from adding its default one.
        rows = self.model.encode(list(texts), prompt=prompt or "", show_progress_bar=False)
        return np.asarray(rows, dtype=np.float32)


def load_teacher(
    source: TeacherSource, *, pooling: Pooling, device: str, trust_remote_code: bool, prompt: str | None = None
) -> Teacher:
    """Return a teacher loaded in float32 from local files: safetensors, unless its source allows pickled weights.

    Its rows are those of sequences that begin with the prompt.

    Raises:
        TeacherError: Its files don't form a Sentence Transformer, or need code that the recipe doesn't trust.
    """
    return Teacher(load_model(source, device, trust_remote_code), pooling, prompt)


def load_model(source: TeacherSource, device: str, trust_remote_code: bool) -> SentenceTransformer:
    """Return a teacher's model as sentence_transformers loads it. Raises as `load_teacher` does."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # its reports of unused checkpoint entries need no action
    transformers_logging.disable_progress_bar()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if trust_remote_code:
        _refuse_code_elsewhere(source.folder)
    try:
        return SentenceTransformer(
            str(source.folder),
            device=device,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            # attn_implementation isn't set: transformers uses sdpa where the architecture supports it.
            model_kwargs={"dtype": "float32", "use_safetensors": None if source.allow_pickled_weights else True},
        )
    except Exception as error:  # the libraries' failures on such files have no common class
        if "trust_remote_code" in str(error):
            raise TeacherError(
                f"the teacher {source.folder.name} brings its own Python code: read it, then set trust_remote_code"
            ) from error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:MAX_REASON_CHARACTERS]
        raise TeacherError(f"{source.folder} can't be loaded as a Sentence Transformer ({reason})") from error


def _refuse_code_elsewhere(folder: Path) -> None:
    """Raise `TeacherError` if a teacher names code in another repository, which no commit pins."""
    place = transformer_folder(folder)
    named = [module.kind for module in read_modules(folder)]
    for name in ("config.json", "tokenizer_config.json"):
        for value in read_json(place / name).get("auto_map", {}).values():
            named += value if isinstance(value, list) else [value]
    others = sorted({name.partition("--")[0] for name in named if name and "--" in name})
    if others:
        raise TeacherError(
            f"the teacher's own code lies in another repository, {', '.join(others)}, and no commit pins it: take a "
            "copy of the teacher's folder, put the .py files of that repository into it, and remove "
            f"'{others[0]}--' from its auto_map"
        )

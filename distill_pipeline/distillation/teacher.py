"""Running a teacher: a loaded Sentence Transformer that turns token ids into rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from distill_pipeline.distillation.download import TeacherError
from distill_pipeline.distillation.source import TeacherSource

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

Pooling = Literal["auto", "mean", "first", "last", "pooler"]


class Teacher:
    """A loaded Sentence Transformer that turns token ids into rows."""

    def __init__(self, model: SentenceTransformer, pooling: Pooling) -> None:
        import torch

        self.model = model.eval()
        self.pooling = pooling
        self._torch = torch
        self.backbone = model[0].auto_model
        self.pad_id = int(getattr(self.backbone.config, "pad_token_id", None) or 0)
        self.takes_token_types = bool(getattr(self.backbone.config, "type_vocab_size", 0))

    @property
    def precision(self) -> str:
        """Name of the arithmetic in use: float32 or bfloat16."""
        return str(next(self.backbone.parameters()).dtype).removeprefix("torch.")

    def to(self, precision: Literal["float32", "bfloat16"]) -> None:
        """Convert the weights in place. From bfloat16 back to float32 the lost digits stay lost."""
        self.model.to(getattr(self._torch, precision))

    def rows(self, sequences: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Encode one batch of token-id sequences, special tokens included; returns float32 (n, dims).

        Raises:
            TeacherError: `pooling` is "pooler", but this teacher has no pooler.
        """
        torch = self._torch
        length = max(map(len, sequences))
        ids = np.full((len(sequences), length), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(sequences), length), dtype=np.int64)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        device = self.backbone.device
        features = {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(mask).to(device),
        }
        if self.takes_token_types:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        with torch.inference_mode():
            pooled = self._pooled(features)
            result: npt.NDArray[np.float32] = pooled.float().cpu().numpy()
        return result

    def _pooled(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        if self.pooling == "auto":
            sentence: torch.Tensor = self.model(features)["sentence_embedding"]
            return sentence
        output = self.backbone(**features)
        mask = features["attention_mask"]
        hidden: torch.Tensor = output.last_hidden_state
        if self.pooling == "mean":
            shares = mask.float() / mask.sum(1, keepdim=True)
            return self._torch.bmm(shares[:, None, :], hidden.float())[:, 0]
        if self.pooling == "first":
            return hidden[:, 0]
        if self.pooling == "last":
            return hidden[self._torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
        if getattr(output, "pooler_output", None) is None:
            raise TeacherError("pooling=pooler: this teacher has no pooler output; use auto, mean, first or last")
        pooler: torch.Tensor = output.pooler_output
        return pooler


def load_teacher(source: TeacherSource, *, pooling: Pooling, device: str, trust_remote_code: bool) -> Teacher:
    """Load a teacher in float32 from its local files, weights from safetensors alone.

    Raises:
        TeacherError: Its files don't form a Sentence Transformer, or need code that the recipe doesn't trust.
    """
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # its report of unused checkpoint entries says nothing to act upon
    transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {
        "dtype": "float32",
        "use_safetensors": None if source.allow_pickled_weights else True,
        "attn_implementation": "sdpa",
    }
    try:
        model = SentenceTransformer(
            str(source.folder),
            device=best_device() if device == "auto" else device,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            model_kwargs=options,
        )
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise TeacherError(
                f"the teacher {source.folder.name} brings its own Python code: read it, then set trust_remote_code"
            ) from error
        raise
    return Teacher(model, pooling)


def best_device() -> str:
    """Return cuda where there is a GPU, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def multiplies_bfloat16_natively(device: str) -> bool:
    """Whether the hardware has instructions for bfloat16 products, so that using them pays."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(torch.device(device))[0] >= 8
    if device != "cpu":
        return False
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())

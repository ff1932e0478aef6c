"""A teacher's forward pass over sequences of one length: transformer, pooling, and the modules after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distill_pipeline.distillation import attention, products
from distill_pipeline.distillation.download import TeacherError
from distill_pipeline.distillation.hardware import multiplies_bfloat16_natively, tokens_per_batch
from distill_pipeline.distillation.modernbert import ModernBert
from distill_pipeline.distillation.teacher import Pooling

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

OWN = "own"
"""Name of the own pass in torch's steps."""

MOST_OF_A_REASON = 300
"""Characters: a compiler's error can be pages."""

LEAST_COSINE_OF_OWN = 0.9999
LEAST_COSINE_OF_KERNELS = 0.999
"""Lower, since both sides round to bfloat16."""


class Forward:
    """From token ids to rows, through this project's own pass where it equals the library's.

    Attributes:
        own: The own pass of the transformer, or None: the library's runs.
        why_no_kernels: What a GPU's kernels failed at, empty if they didn't.
    """

    def __init__(self, model: SentenceTransformer, pooling: Pooling) -> None:
        self.model = model
        self.backbone = model[0].auto_model
        self.pooling = pooling
        self.takes_token_types = bool(getattr(self.backbone.config, "type_vocab_size", 0))
        self.own: ModernBert | None = None
        self.why_no_kernels = ""
        if pooling != "pooler" and ModernBert.covers(self.backbone):
            self.own = self._own_if_equal()
        if self.own is None and self.backbone.device.type == "cpu":
            products.use_in(self.backbone)
            if self._is_the_librarys:
                attention.use_in(self.backbone)

    @property
    def name(self) -> str:
        """Whose pass it is."""
        if self.own is None:
            return "library"
        return OWN if self.own.kernels is None else f"{OWN}, with Triton kernels"

    @property
    def _is_the_librarys(self) -> bool:
        return type(self.backbone).__module__.startswith("transformers.")

    def reduce_weights(self) -> None:
        """Convert the transformer's weights to bfloat16 in place."""
        import torch

        if self.own is None:
            self.backbone.to(torch.bfloat16)
            if self._is_the_librarys and self.backbone.device.type == "cpu":
                self._pack_weights()
        else:
            self.own.reduce_weights(torch.bfloat16)
            if self.backbone.device.type == "cuda" and multiplies_bfloat16_natively(str(self.backbone.device)):
                self._take_kernels_if_equal(self.own)

    def _take_kernels_if_equal(self, own: ModernBert) -> None:
        """Let the own pass use a GPU's kernels if rows of a short and a long length stay the same."""
        kernels = own.fitting_kernels()
        if kernels is None:
            return
        lengths = (3, min(self.backbone.config.max_position_embeddings, own.window + 8))
        random = np.random.default_rng(0)
        samples = [random.integers(0, self.backbone.config.vocab_size, (4, length)) for length in lengths]
        expected = [self.rows(ids) for ids in samples]
        own.kernels = kernels
        try:
            least = min(_least_cosine(rows, self.rows(ids)) for rows, ids in zip(expected, samples, strict=True))
            if not least >= LEAST_COSINE_OF_KERNELS:  # nor when it is no number
                self.without_kernels(f"cosine {least:.5f} to the pass without")
        except Exception as error:  # noqa: BLE001 -- Triton's failures have no common class: no C compiler, an unknown GPU, ...
            self.without_kernels(f"{type(error).__name__}: {error}"[:MOST_OF_A_REASON])

    def without_kernels(self, why: str) -> None:
        """Compute in torch's own steps from now on."""
        if self.own is not None:
            self.own.kernels, self.why_no_kernels = None, why

    def _pack_weights(self) -> None:
        """Pack the layers' weights, unless the architecture reads them in other ways than products."""
        plain = products.pack_in(self.backbone, tokens_per_batch(self.backbone.config, str(self.backbone.device)))
        try:
            self.rows(np.ones((1, 3), dtype=np.int64))
        except RuntimeError:
            for layer, weight in plain.items():
                layer.weight = weight

    def rows(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Encode token ids (n, length); returns float32 (n, dims).

        Raises:
            TeacherError: `pooling` is "pooler", but this teacher has no pooler.
        """
        import torch

        device = self.backbone.device
        there = torch.from_numpy(ids)
        if device.type == "cuda":
            there = there.pin_memory()
        with torch.inference_mode():
            pooled = self._pooled(there.to(device, non_blocking=True)).float()
            rows: npt.NDArray[np.float32] = _to_host(pooled).numpy()
        return rows

    def _pooled(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self.takes_token_types:
            features["token_type_ids"] = torch.zeros_like(ids)
        if self.pooling == "auto":
            features = self._token_features(features)
            for module in list(self.model)[1:]:
                features = module(features)
            return features["sentence_embedding"]
        if self.pooling == "pooler":
            return self._pooler(features)
        hidden = self.own(ids) if self.own else self.backbone(**features).last_hidden_state.float()
        if self.pooling == "mean":
            return hidden.mean(1)
        return hidden[:, 0 if self.pooling == "first" else -1]

    def _token_features(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run the first module: add the token embeddings, float32 (n, length, hidden)."""
        if self.own is not None:
            return {**features, "token_embeddings": self.own(features["input_ids"])}
        features = self.model[0](features)
        return {**features, "token_embeddings": features["token_embeddings"].float()}

    def _pooler(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        output: Any = self.backbone(**features)
        if getattr(output, "pooler_output", None) is None:
            raise TeacherError("pooling=pooler: this teacher has no pooler output; use auto, mean, first or last")
        pooler: torch.Tensor = output.pooler_output
        return pooler

    def _own_if_equal(self) -> ModernBert | None:
        """Return the own pass when its rows equal the library's on a sample of a short and a long length.

        Compared over the first layers of each kind: the others are the same with other weights, and reading all of a
        large teacher's takes seconds and memory.
        """
        own = ModernBert(self.backbone)
        longest = min(self.backbone.config.max_position_embeddings, own.window + 8)
        random = np.random.default_rng(0)
        layers = self.backbone.layers
        self.backbone.layers = layers[: ModernBert.first_of_each_kind(self.backbone.config)]
        try:
            for count, length in ((4, 3), (2, longest)):
                ids = random.integers(0, self.backbone.config.vocab_size, (count, length))
                self.own = None
                expected = self.rows(ids)
                self.own = own
                if _least_cosine(expected, self.rows(ids)) < LEAST_COSINE_OF_OWN:
                    return None
        finally:
            self.backbone.layers = layers
        return own


def _least_cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / norms).min())


def _to_host(rows: torch.Tensor) -> torch.Tensor:
    """Copy rows from a GPU through pinned memory, waiting for them alone and not for batches behind them."""
    import torch

    if rows.device.type != "cuda":
        return rows.cpu()
    host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
    host.copy_(rows, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record(torch.cuda.current_stream(rows.device))
    arrived.synchronize()
    return host

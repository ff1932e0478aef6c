"""A teacher's forward pass over sequences of one length: transformer, pooling, and the modules after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from distill_pipeline.errors import TeacherError
from distill_pipeline.teacher.hardware import has_native_bfloat16, tokens_per_batch
from distill_pipeline.teacher.passes import operations
from distill_pipeline.teacher.passes.modernbert import ModernBert

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

Pooling = Literal["auto", "mean", "first", "last", "pooler"]

MODERNBERT = "modernbert"
"""Name of the `ModernBert` pass in torch's steps."""

MAX_REASON_CHARACTERS = 300
"""A compiler's error can be pages."""

MIN_COSINE_TO_LIBRARY = 0.9999
MIN_COSINE_OF_KERNELS = 0.999
"""Of rows with the kernels to rows without; lower, since both round to bfloat16."""


class Forward:
    """Turns token ids into rows: with the `ModernBert` pass where its rows equal the library's, else with the library.

    The library is transformers, or the teacher's own code.

    Attributes:
        modernbert: The ModernBERT pass, or None where the library's runs.
        prompt_length: Tokens at the beginning of each sequence that the teacher's pooling leaves out.
        why_no_kernels: Why the ModernBERT pass runs without a GPU's kernels; empty if none were tried, or they run.
    """

    def __init__(self, model: SentenceTransformer, pooling: Pooling) -> None:
        self.model = model
        self.backbone = model[0].auto_model
        self.device: torch.device = self.backbone.device
        self.pooling = pooling
        self.modernbert: ModernBert | None = None
        self.prompt_length = 0
        self.why_no_kernels = ""
        self._after = list(model)[1:]
        self._normalizes = pooling == "auto" and type(self._after[-1] if self._after else None).__name__ == "Normalize"
        self._is_from_transformers = type(self.backbone).__module__.startswith("transformers.")
        if pooling != "pooler" and ModernBert.covers(self.backbone):
            self._use_modernbert_if_equal()
        if self.modernbert is None and self.device.type == "cpu":
            operations.replace_linear(self.backbone)
            if self._is_from_transformers:
                operations.replace_attention(self.backbone)

    @property
    def name(self) -> str:
        """The name of the pass that runs: the library's, or the ModernBERT pass without or with a GPU's kernels."""
        if self.modernbert is None:
            return "library"
        return MODERNBERT if self.modernbert.kernels is None else f"{MODERNBERT}, with Triton kernels"

    def _use_modernbert_if_equal(self) -> None:
        """Use the ModernBERT pass if its rows equal the library's.

        The first layer of each kind is compared: the others compute the same with other weights, and reading all
        weights of a large teacher takes seconds and memory. The first layer, without a norm, is a kind by itself.
        """
        modernbert, layers, kinds = ModernBert(self.backbone), self.backbone.layers, self.backbone.config.layer_types
        self.backbone.layers = layers[: 1 + max((kinds.index(kind, 1) for kind in set(kinds[1:])), default=0)]
        try:
            expected = self._sample_rows()
            self.modernbert = modernbert
            if _min_cosine(expected, self._sample_rows()) < MIN_COSINE_TO_LIBRARY:
                self.modernbert = None
        finally:
            self.backbone.layers = layers

    def _use_kernels_if_equal(self, modernbert: ModernBert) -> None:
        """Let the ModernBERT pass use a GPU's kernels if its rows stay the same with them."""
        kernels = modernbert.find_kernels()
        if kernels is None:
            return
        expected = self._sample_rows()
        modernbert.kernels = kernels
        try:
            cosine = _min_cosine(expected, self._sample_rows())
            if not cosine >= MIN_COSINE_OF_KERNELS:  # also true of NaN
                self.drop_kernels(f"cosine {cosine:.5f} to the pass without")
        except Exception as error:  # noqa: BLE001 -- Triton's failures have no common class: no C compiler, an unknown GPU, ...
            self.drop_kernels(f"{type(error).__name__}: {error}"[:MAX_REASON_CHARACTERS])

    def drop_kernels(self, why: str) -> None:
        """Run the ModernBERT pass in torch's steps from now on, for this reason."""
        if self.modernbert is not None:
            self.modernbert.kernels, self.why_no_kernels = None, why

    def _sample_rows(self) -> npt.NDArray[np.float32]:
        """Return the rows of random ids of two lengths: within a ModernBERT's sliding window, and beyond it."""
        random, config = np.random.default_rng(0), self.backbone.config
        lengths = (3, min(config.max_position_embeddings, config.sliding_window + 8))
        return np.concatenate([self.rows(random.integers(0, config.vocab_size, (4, length))) for length in lengths])

    def to_bfloat16(self) -> None:
        """Convert the transformer's weights to bfloat16 in place."""
        import torch

        if self.modernbert is None:
            self.backbone.to(torch.bfloat16)
            if self._is_from_transformers and self.device.type == "cpu":
                self._pack_weights()
        else:
            self.modernbert.to_bfloat16()
            if self.device.type == "cuda" and has_native_bfloat16(str(self.device)):
                self._use_kernels_if_equal(self.modernbert)

    def _pack_weights(self) -> None:
        """Pack the layers' weights, unless the architecture reads them other than through its linear layers."""
        plain = operations.pack_weights(self.backbone, tokens_per_batch(self.backbone.config, str(self.device)))
        try:
            self.rows(np.ones((1, 3), dtype=np.int64))
        except RuntimeError:
            for layer, weight in plain.items():
                layer.weight = weight

    @contextmanager
    def keeping_lengths(self, wanted: bool) -> Iterator[bool]:
        """Leave rows as long as they are before the teacher makes their length 1, if wanted; yield whether it would."""
        kept, modules = wanted and self._normalizes, self._after
        self._after = modules[:-1] if kept else modules
        try:
            yield kept
        finally:
            self._after = modules

    def rows(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the rows of token ids (n, length), float32 (n, dims).

        Raises:
            TeacherError: `pooling` is "pooler", but this teacher has no pooler.
        """
        import torch

        on_host = torch.from_numpy(ids)
        if self.device.type == "cuda":
            on_host = on_host.pin_memory()
        with torch.inference_mode():
            pooled = self._pooled(on_host.to(self.device, non_blocking=True)).float()
            rows: npt.NDArray[np.float32] = _to_host(pooled).numpy()
        return rows

    def _pooled(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        features = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if getattr(self.backbone.config, "type_vocab_size", 0):
            features["token_type_ids"] = torch.zeros_like(ids)
        if self.pooling == "auto":
            if self.modernbert is None:
                features = self.model[0](features)
            else:
                features["token_embeddings"] = self.modernbert(ids)
            features["token_embeddings"] = features["token_embeddings"].float()
            if self.prompt_length:
                features["prompt_length"] = torch.tensor([self.prompt_length])
            for module in self._after:
                features = module(features)
            return features["sentence_embedding"]
        if self.pooling == "pooler":
            return self._pooler(features)
        hidden = self.modernbert(ids) if self.modernbert else self.backbone(**features).last_hidden_state.float()
        return hidden.mean(1) if self.pooling == "mean" else hidden[:, 0 if self.pooling == "first" else -1]

    def _pooler(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        pooler: torch.Tensor | None = getattr(self.backbone(**features), "pooler_output", None)
        if pooler is None:
            raise TeacherError("pooling=pooler: this teacher has no pooler output; use auto, mean, first or last")
        return pooler


def _min_cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / norms).min())


def _to_host(rows: torch.Tensor) -> torch.Tensor:
    """Return rows in host memory, waiting for a GPU's copy of them but not for batches that are queued after it."""
    import torch

    if rows.device.type != "cuda":
        return rows.cpu()
    host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
    host.copy_(rows, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record(torch.cuda.current_stream(rows.device))
    arrived.synchronize()
    return host

"""ModernBERT's forward pass over sequences of one length, which need neither padding nor masks.

For sequences as short as a vocabulary's, the library's pass spends over half of its time outside of matrix products:
casts and concatenations of the rotary embedding, attention kernels made for long sequences, and activations that are
written to memory and read again. This pass computes the same function. The residual stream, norms and attention (except
in a GPU's kernel) are float32 whatever the weights are. That costs nothing measurable and keeps bfloat16 closer to
float32 (minimum cosine on a teacher with random weights: 0.9964 in the library, 0.999999 here).

Warner et al. 2024, "Smarter, Better, Faster, Longer" (ModernBERT); Su et al. 2021, "RoFormer" (rotary embedding).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from distill_pipeline.teacher.hardware import tokens_per_batch
from distill_pipeline.teacher.passes.attention import attention_of
from distill_pipeline.teacher.passes.products import gated_gelu, linear, pack_weight

if TYPE_CHECKING:
    import torch


@dataclass
class Matrices:
    """The weights of one layer's matrix products: those of the model, or packed copies in another dtype."""

    joined: torch.Tensor
    attended: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    down: torch.Tensor

    @classmethod
    def of(cls, layer: Any) -> Matrices:
        """Return views of a library layer's weights."""
        first, second = layer.mlp.Wi.weight.chunk(2)
        return cls(layer.attn.Wqkv.weight, layer.attn.Wo.weight, first, second, layer.mlp.Wo.weight)

    def all(self) -> list[torch.Tensor]:
        """Return the five weights."""
        return [getattr(self, field.name) for field in fields(self)]


class ModernBert:
    """The forward pass of a loaded `transformers.ModernBertModel`, which reads the model's weights.

    Attributes:
        kernels: The module of a GPU's kernels if they are used, else None.
    """

    def __init__(self, backbone: Any) -> None:
        import torch

        self.backbone = backbone
        config = backbone.config
        self.heads = config.num_attention_heads
        self.head_size = config.hidden_size // config.num_attention_heads
        self.window = config.sliding_window
        self.matrices = [Matrices.of(layer) for layer in backbone.layers]
        self.dtype = torch.float32
        self.kernels: Any = None
        self._turns: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]] = {}

    @staticmethod
    def covers(backbone: Any) -> bool:
        """Return whether this is the library's ModernBERT, with the activation that is computed here."""
        from transformers import ModernBertModel

        return type(backbone) is ModernBertModel and backbone.config.hidden_activation == "gelu"

    @staticmethod
    def first_of_each_kind(config: Any) -> int:
        """Return how many leading layers include each kind; the first layer, without a norm, is a kind by itself."""
        kinds = config.layer_types
        return 1 + max((kinds.index(kind, 1) for kind in set(kinds[1:])), default=0)

    def find_kernels(self) -> Any:
        """Return the module of a GPU's kernels, which Triton compiles, or None if there are none for this model."""
        try:
            from distill_pipeline.teacher.passes import kernels
        except ImportError:  # a torch without Triton
            return None
        return kernels if kernels.supports(self.head_size) and not self.backbone.config.norm_bias else None

    def to_bfloat16(self, dtype: torch.dtype) -> None:
        """Convert the weights of the matrix products; embeddings and norms stay float32.

        The model gives up its weights layer by layer, so that memory never holds a second set.
        """
        rows = tokens_per_batch(self.backbone.config, str(self.backbone.device))
        for place, layer in enumerate(self.backbone.layers):
            self.matrices[place] = Matrices(
                *(pack_weight(weight.to(dtype), rows) for weight in self.matrices[place].all())
            )
            for module in (layer.attn.Wqkv, layer.attn.Wo, layer.mlp.Wi, layer.mlp.Wo):
                module.weight = None
                if module.bias is not None:
                    module.bias.data = module.bias.to(dtype)
        self.dtype = dtype

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states of token ids (n, length), float32 (n, length, hidden)."""
        if self.kernels is not None:
            return self._with_kernels(ids)
        model = self.backbone
        count, length = ids.shape
        stream = model.embeddings(input_ids=ids).flatten(0, 1)
        for layer, matrices in zip(model.layers, self.matrices, strict=False):
            attended = self._attend(layer, matrices, layer.attn_norm(stream).to(self.dtype), count, length)
            stream = stream.add_(linear(attended.to(self.dtype), matrices.attended, layer.attn.Wo.bias))
            biases = (None, None) if layer.mlp.Wi.bias is None else layer.mlp.Wi.bias.chunk(2)
            hidden = gated_gelu(layer.mlp_norm(stream).to(self.dtype), (matrices.first, matrices.second), biases)
            stream = stream.add_(linear(hidden, matrices.down, layer.mlp.Wo.bias))
        states: torch.Tensor = model.final_norm(stream)
        return states.view(count, length, -1)

    def _with_kernels(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the same as `__call__`, with a GPU's kernels for the steps between the products."""
        import torch

        kernels, model, (count, length) = self.kernels, self.backbone, ids.shape
        stream = model.embeddings(input_ids=ids).flatten(0, 1)
        normed = stream.to(self.dtype)  # the first layer has no norm before its attention
        following = [(layer.attn_norm, self.dtype) for layer in model.layers[1:]] + [(model.final_norm, torch.float32)]
        with torch.cuda.device_of(ids):  # type: ignore[no-untyped-call]  # Triton takes the current device
            for layer, matrices, (norm, dtype) in zip(model.layers, self.matrices, following, strict=True):
                joined = linear(normed, matrices.joined, layer.attn.Wqkv.bias)
                turns = self._rotary(layer.attention_type, length, ids.device)
                window = self.window if layer.attention_type == "sliding_attention" else length
                attended = kernels.attend(joined, *turns, (count, length, self.heads), window)
                attended = linear(attended, matrices.attended, layer.attn.Wo.bias)
                normed = kernels.add_norm(stream, attended, layer.mlp_norm, self.dtype)
                biases = (None, None) if layer.mlp.Wi.bias is None else layer.mlp.Wi.bias.chunk(2)
                gates = [linear(normed, *one) for one in zip((matrices.first, matrices.second), biases, strict=True)]
                hidden = kernels.gated_gelu(*gates)
                normed = kernels.add_norm(stream, linear(hidden, matrices.down, layer.mlp.Wo.bias), norm, dtype)
        states: torch.Tensor = normed.view(count, length, -1)
        return states

    def _attend(self, layer: Any, matrices: Matrices, rows: torch.Tensor, count: int, length: int) -> torch.Tensor:
        """Return the attention's output before its last product, float32 (count * length, hidden)."""
        import torch

        joined = linear(rows, matrices.joined, layer.attn.Wqkv.bias).float()
        joined = joined.view(count, length, 3, self.heads, self.head_size)
        cosine, sine = self._rotary(layer.attention_type, length, rows.device)
        turned = joined[:, :, :2]
        turned = torch.addcmul(turned * cosine, turned.roll(self.head_size // 2, -1), sine)
        query, key, value = turned[:, :, 0], turned[:, :, 1], joined[:, :, 2]
        mask = None
        if layer.attention_type == "sliding_attention" and length > self.window + 1:
            places = torch.arange(length, device=rows.device)
            mask = (places[:, None] - places).abs() <= self.window
        return attention_of(query, key, value, mask).reshape(count * length, -1)

    def _rotary(self, kind: str, length: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cosines and sines of each position, float32 (length, 1, 1, head size).

        The library rotates (a, b) to (a cos - b sin, b cos + a sin) by swapping the halves and negating the first.
        Here the sign is in the sines, so that only the swap remains.
        """
        import torch

        if (kind, length) not in self._turns:
            places = torch.arange(length, device=device)[None]
            cosine, sine = self.backbone.rotary_emb(torch.zeros(1, device=device), places, kind)
            sine = torch.cat([-sine[..., : self.head_size // 2], sine[..., self.head_size // 2 :]], dim=-1)
            self._turns[kind, length] = (cosine[0, :, None, None], sine[0, :, None, None])
        return self._turns[kind, length]

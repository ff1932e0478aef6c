"""ModernBERT's forward pass over sequences of one length, which need neither padding nor masks.

For sequences as short as a vocabulary's, the library's pass spends over half of its time outside of matrix products:
casts and concatenations of the rotary embedding, attention kernels made for long sequences, and activations that are
written to memory and read again. This pass computes the same function. The residual stream, norms and attention (except
in a GPU's kernel) are float32 whatever the weights are. That costs nothing measurable and keeps bfloat16 closer to
float32 (minimum cosine on a teacher with random weights: 0.9964 in the library, 0.999999 here).

Warner et al. 2024, "Smarter, Better, Faster, Longer" (ModernBERT); Su et al. 2021, "RoFormer" (rotary embedding).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from distill_pipeline.teacher.hardware import tokens_per_batch
from distill_pipeline.teacher.passes.operations import attention, gated_gelu, linear, pack_weight

if TYPE_CHECKING:
    import torch

    from distill_pipeline.teacher.passes.operations import Product


class Products(NamedTuple):
    """The weight and bias of each of a layer's matrix products: the model's, or packed copies in bfloat16."""

    joined: Product
    attended: Product
    first: Product
    second: Product
    down: Product


def products_of(layer: Any) -> Products:
    """Return views of a library layer's weights and biases."""
    wide = layer.mlp.Wi
    biases = (None, None) if wide.bias is None else wide.bias.chunk(2)
    first, second = zip(wide.weight.chunk(2), biases, strict=True)
    joined, attended, down = ((part.weight, part.bias) for part in (layer.attn.Wqkv, layer.attn.Wo, layer.mlp.Wo))
    return Products(joined, attended, first, second, down)


class ModernBert:
    """The forward pass of a loaded `transformers.ModernBertModel`, which reads the model's weights."""

    def __init__(self, backbone: Any) -> None:
        import torch

        self.backbone = backbone
        config = backbone.config
        self.heads = config.num_attention_heads
        self.head_size = config.hidden_size // config.num_attention_heads
        self.window = config.sliding_window
        self.products = [products_of(layer) for layer in backbone.layers]
        self.dtype = torch.float32
        self.kernels: Any = None  # the module, if a GPU uses it
        self._rotations: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]] = {}

    @staticmethod
    def covers(backbone: Any) -> bool:
        """Return whether this is the library's ModernBERT, with the activation that is computed here."""
        from transformers import ModernBertModel

        return type(backbone) is ModernBertModel and backbone.config.hidden_activation == "gelu"

    def find_kernels(self) -> Any:
        """Return the module of a GPU's kernels, which Triton compiles, or None if there are none for this model."""
        try:
            from distill_pipeline.teacher.passes import kernels
        except ImportError:  # a torch without Triton
            return None
        return kernels if self.head_size in kernels.HEAD_SIZES and not self.backbone.config.norm_bias else None

    def to_bfloat16(self) -> None:
        """Convert the weights of the matrix products; embeddings and norms stay float32.

        The model gives up its weights layer by layer, so that memory never holds a second set.
        """
        import torch

        self.dtype = torch.bfloat16
        rows = tokens_per_batch(self.backbone.config, str(self.backbone.device))
        for place, layer in enumerate(self.backbone.layers):
            self.products[place] = Products(
                *(
                    (pack_weight(weight.to(self.dtype), rows), None if bias is None else bias.to(self.dtype))
                    for weight, bias in self.products[place]
                )
            )
            for module in (layer.attn.Wqkv, layer.attn.Wo, layer.mlp.Wi, layer.mlp.Wo):
                module.weight = module.bias = None

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states of token ids (n, length), float32 (n, length, hidden)."""
        if self.kernels is not None:
            return self._with_kernels(ids)
        model = self.backbone
        stream = model.embeddings(input_ids=ids).flatten(0, 1)
        for layer, products in zip(model.layers, self.products, strict=False):
            joined = linear(layer.attn_norm(stream).to(self.dtype), *products.joined).float()
            attended = self._attend(joined.view(*ids.shape, 3, self.heads, self.head_size), layer.attention_type)
            stream.add_(linear(attended.to(self.dtype), *products.attended))
            hidden = gated_gelu(layer.mlp_norm(stream).to(self.dtype), products.first, products.second)
            stream.add_(linear(hidden, *products.down))
        states: torch.Tensor = model.final_norm(stream)
        return states.view(*ids.shape, -1)

    def _with_kernels(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the same as `__call__`, with a GPU's kernels for the steps between the products."""
        import torch

        kernels, model, (count, length) = self.kernels, self.backbone, ids.shape
        stream = model.embeddings(input_ids=ids).flatten(0, 1)
        normed = stream.to(self.dtype)  # the first layer has no norm before its attention
        following = [(layer.attn_norm, self.dtype) for layer in model.layers[1:]] + [(model.final_norm, torch.float32)]
        with torch.cuda.device_of(ids):  # type: ignore[no-untyped-call]  # Triton takes the current device
            for layer, products, (norm, dtype) in zip(model.layers, self.products, following, strict=True):
                rotation = self._rotation(layer.attention_type, length, ids.device)
                window = self.window if layer.attention_type == "sliding_attention" else length
                joined = linear(normed, *products.joined)
                attended = kernels.attend(joined, *rotation, (count, length, self.heads), window)
                normed = kernels.add_norm(stream, linear(attended, *products.attended), layer.mlp_norm, self.dtype)
                hidden = kernels.gated_gelu(linear(normed, *products.first), linear(normed, *products.second))
                normed = kernels.add_norm(stream, linear(hidden, *products.down), norm, dtype)
        states: torch.Tensor = normed.view(count, length, -1)
        return states

    def _attend(self, joined: torch.Tensor, kind: str) -> torch.Tensor:
        """Return the attention's output before its last product, float32 (n * length, hidden).

        `joined` holds queries, keys and values, float32 (n, length, 3, heads, head size).
        """
        import torch

        length = joined.shape[1]
        cosine, sine = self._rotation(kind, length, joined.device)
        rotated = joined[:, :, :2]
        rotated = torch.addcmul(rotated * cosine, rotated.roll(self.head_size // 2, -1), sine)
        mask = None
        if kind == "sliding_attention" and length > self.window + 1:
            places = torch.arange(length, device=joined.device)
            mask = (places[:, None] - places).abs() <= self.window
        return attention(rotated[:, :, 0], rotated[:, :, 1], joined[:, :, 2], mask).reshape(len(joined) * length, -1)

    def _rotation(self, kind: str, length: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cosines and sines of each position, float32 (length, 1, 1, head size).

        The library rotates (a, b) to (a cos - b sin, b cos + a sin) by swapping the halves and negating the first.
        Here the sign is in the sines, so that only the swap remains.
        """
        import torch

        if (kind, length) not in self._rotations:
            places = torch.arange(length, device=device)[None]
            cosine, sine = self.backbone.rotary_emb(torch.zeros(1, device=device), places, kind)
            sine = torch.cat([-sine[..., : self.head_size // 2], sine[..., self.head_size // 2 :]], dim=-1)
            self._rotations[kind, length] = (cosine[0, :, None, None], sine[0, :, None, None])
        return self._rotations[kind, length]

"""Matrix products and attention, faster than the library's on a CPU, for the ModernBERT pass and the library's models.

torch sends float32 products to MKL, which uses AVX2 code on processors that are not Intel's: measured on an AVX-512
EPYC, 0.23 TFLOP/s, where oneDNN, which torch also includes, reaches 0.49 with the same result to the last few digits.
oneDNN also applies an activation or a gate while a product's result is still in the cache. Its entry points are those
that torch's compiler uses; each is tried on small matrices before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import torch
    from torch import nn

    Product = tuple[torch.Tensor, torch.Tensor | None]

MAX_LENGTH_BY_SUMS = 4
MIN_LENGTH_OF_SOFTMAX_ACROSS = 16
MAX_LENGTH_BY_PRODUCTS = 256

_ATTENTION_NAME = "distill_pipeline"


def linear(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *, gelu: bool = False) -> torch.Tensor:
    """Return rows @ weight.T + bias, or the exact gelu of that, (n, outputs) in the arguments' dtype.

    Takes rows (n, inputs), a weight (outputs, inputs), plain or from `pack_weight`, and a bias (outputs,) or None.
    """
    import torch

    if rows.device.type == "cpu" and onednn_supports(rows.dtype):
        activation, algorithm = ("gelu", "none") if gelu else ("none", "")
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], algorithm)
        return product
    plain = torch.nn.functional.linear(rows, weight, bias)
    return torch.nn.functional.gelu(plain) if gelu else plain


def gated_gelu(rows: torch.Tensor, activated: Product, gate: Product) -> torch.Tensor:
    """Return gelu(linear(rows, *activated)) * linear(rows, *gate), (n, outputs).

    Shazeer 2020, "GLU Variants Improve Transformer", equation 6 (GEGLU), with the exact gelu.
    """
    import torch

    first = linear(rows, *activated, gelu=True)
    if rows.device.type == "cpu" and onednn_supports(rows.dtype):
        gated: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, first, *gate, "mul")
        return gated
    return first * torch.nn.functional.linear(rows, *gate)


def pack_weight(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """Return a copy of a weight (outputs, inputs) in the memory order in which this processor's products read it.

    Without it each product, of about so many rows, reorders the weight first, 4 to 5 % of its time. The products' bytes
    are the same. A weight that oneDNN doesn't support is returned as it is.
    """
    import torch

    if weight.device.type != "cpu" or not onednn_supports(weight.dtype):
        return weight
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
    return packed


@lru_cache
def onednn_supports(dtype: torch.dtype) -> bool:
    """Return whether this torch has oneDNN's fused products on the CPU in this dtype, with correct results."""
    import torch

    if not all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")):
        return False
    steps = torch.arange(128 * 64, dtype=torch.float32) % 13 / 13 - 0.5
    weight, rows = steps.view(128, 64).to(dtype), steps[: 16 * 64].view(16, 64).to(dtype)
    first, second = weight.chunk(2)
    try:
        with torch.inference_mode():
            activated = torch.ops.mkldnn._linear_pointwise(rows, first, None, "gelu", [], "none")
            packed = torch.ops.mkldnn._reorder_linear_weight(second.contiguous(), len(rows))
            gated = torch.ops.mkldnn._linear_pointwise.binary(rows, activated, packed, None, "mul")
    except RuntimeError:
        return False
    a, b = (rows.float() @ weight.float().T).chunk(2, dim=-1)
    return torch.allclose(gated.float(), torch.nn.functional.gelu(a) * b, rtol=0.05, atol=0.01)


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """Return scaled dot-product attention, (n, length, heads, size) like query, key and value.

    Without a mask it is by sums of products up to 4 tokens (float32 anywhere, bfloat16 on a CPU), and for bfloat16 on a
    CPU by products over all heads at once up to 256, with the softmax down columns below 16. Else it is torch's.

    torch's fused kernel has a set-up cost for each head of each sequence, and torch's softmax across rows of fewer than
    16 goes number by number. Measured on one core for 781 tokens on 12 heads of 32 in bfloat16, ms at 3, 8, 15, 22, 64,
    128 and 256 tokens: the kernel 4.7, 2.7, 2.7, 1.9, 2.0, 3.2, 5.3; sums of products 0.9 and 1.7 at 3 and 8; products
    over all heads at once, with the softmax across rows, 2.0, 2.1, 3.1, 0.9, 1.4, 2.5, 4.9; with the softmax down
    columns 1.6, 1.0, 1.2, 1.0, 1.5, 3.2, 6.1. In float32 sums take half of the kernel's time at three or four tokens,
    and longer sequences gain nothing. On an H100 in float32, 65,536 tokens on 16 heads of 64 take 2.4 ms against 10.1
    at three tokens, 3.1 against 7.7 at four, 5.9 against 3.9 at eight.

    Products over all heads round the scores to bfloat16, as the library's eager attention does and the fused kernel
    does not; `settle_precision` measures the effect on the rows.

    Args:
        query, key, value: float32 or bfloat16, with equally many heads.
        mask: True where a token may attend; None for everywhere.
        scale: Factor of the scores; size ** -0.5 if not given.
    """
    import torch

    length = query.shape[1]
    if mask is None:
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        if length <= MAX_LENGTH_BY_SUMS and (query.dtype == torch.float32 or query.device.type == "cpu"):
            scores = (query.float().unsqueeze(2) * key.float().unsqueeze(1)).sum(-1) * scale
            shares = scores.softmax(2).unsqueeze(-1)
            by_sums: torch.Tensor = (shares * value.float().unsqueeze(1)).sum(2)
            return by_sums.to(value.dtype)
        if query.device.type == "cpu" and query.dtype == torch.bfloat16 and length <= MAX_LENGTH_BY_PRODUCTS:
            query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
            if length < MIN_LENGTH_OF_SOFTMAX_ACROSS:
                shares = ((key @ query.mT).float() * scale).softmax(-2).mT
            else:
                shares = ((query @ key.mT).float() * scale).softmax(-1)
            return (shares.to(value.dtype) @ value).transpose(1, 2)
    query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    attended = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return attended.transpose(1, 2)


def replace_linear(module: nn.Module) -> None:
    """Let every plain linear layer of a module compute with `linear`; the module is for inference alone from then on.

    A block of only such a layer and its exact gelu, as in BERT, becomes one step.
    """
    from torch import nn
    from transformers.activations import GELUActivation

    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.forward = _linear_forward(layer)  # type: ignore[assignment,method-assign]
        children = {name: type(child) for name, child in layer.named_children()}
        if children == {"dense": nn.Linear, "intermediate_act_fn": GELUActivation}:
            layer.forward = _linear_forward(cast(nn.Linear, layer.dense), gelu=True)


def _linear_forward(layer: nn.Linear, *, gelu: bool = False) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda rows: linear(rows.flatten(0, -2), layer.weight, layer.bias, gelu=gelu).view(*rows.shape[:-1], -1)


def pack_weights(module: nn.Module, rows: int) -> dict[nn.Linear, torch.Tensor]:
    """Pack the weights of the layers that `replace_linear` changed, for products of about so many rows.

    Returns:
        The previous weight of each layer, to restore it in a module that reads weights in other ways.
    """
    from torch import nn

    plain = {layer: layer.weight for layer in module.modules() if type(layer) is nn.Linear and "forward" in vars(layer)}
    for layer, weight in plain.items():
        layer.weight = nn.Parameter(pack_weight(weight.data, rows), requires_grad=False)
    return plain


def replace_attention(backbone: Any) -> None:
    """Let a transformer of the library that uses sdpa compute its attention with `attention`.

    Attention with a mask, causal attention, and keys that heads share still go through sdpa.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if backbone.config._attn_implementation == "sdpa":
        AttentionInterface.register(_ATTENTION_NAME, _library_attention)
        AttentionMaskInterface.register(_ATTENTION_NAME, sdpa_mask)
        backbone.set_attn_implementation(_ATTENTION_NAME)


def _library_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return attention (n, length, heads, size) of (n, heads, length, size), with the library's signature."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and not causal and query.shape == key.shape:
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        return attention(query, key, value, scale=scaling), None
    attended: tuple[torch.Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, is_causal=is_causal, **options
    )
    return attended

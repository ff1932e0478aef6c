"""Products with a layer's weights, through the fastest exact routine that torch has for this processor.

torch sends float32 products to MKL, which uses AVX2 code on processors that are not Intel's: measured on an AVX-512
EPYC, 0.23 TFLOP/s, where oneDNN, which torch also includes, reaches 0.49 with the same result to the last few digits.
oneDNN also applies an activation or a gate while a product's result is still in the cache. Its entry points are those
that torch's compiler uses; each is tried on small matrices before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import torch
    from torch import nn


def linear(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *, gelu: bool = False) -> torch.Tensor:
    """Return rows @ weight.T + bias, (n, outputs), in the dtype of rows (n, inputs) and weight (outputs, inputs).

    The weight may come from `pack_weight`.

    Args:
        rows: (n, inputs).
        weight: (outputs, inputs).
        bias: (outputs,), or None.
        gelu: Return the exact gelu of that instead.
    """
    import torch

    if rows.device.type == "cpu" and onednn_supports(rows.dtype):
        activation, algorithm = ("gelu", "none") if gelu else ("none", "")
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, activation, [], algorithm)
        return product
    plain = torch.nn.functional.linear(rows, weight, bias)
    return torch.nn.functional.gelu(plain) if gelu else plain


def gated_gelu(
    rows: torch.Tensor,
    weights: tuple[torch.Tensor, torch.Tensor],
    biases: tuple[torch.Tensor | None, torch.Tensor | None],
) -> torch.Tensor:
    """Return gelu(rows @ weights[0].T + biases[0]) * (rows @ weights[1].T + biases[1]), (n, outputs).

    Shazeer 2020, "GLU Variants Improve Transformer", equation 6 (GEGLU), with the exact gelu.

    Args:
        rows: (n, inputs).
        weights: Two of (outputs, inputs), or what `pack_weight` returned for them.
        biases: Two of (outputs,), or None.
    """
    import torch

    (first, second), (first_bias, second_bias) = weights, biases
    activated = linear(rows, first, first_bias, gelu=True)
    if rows.device.type == "cpu" and onednn_supports(rows.dtype):
        gated: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, activated, second, second_bias, "mul")
        return gated
    return activated * torch.nn.functional.linear(rows, second, second_bias)


def pack_weight(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """Return a copy of a weight (outputs, inputs) in the memory order in which this processor's products read it.

    Without it each product reorders the weight first, 4 to 5 % of its time. The products' bytes are the same.

    Args:
        weight: On any device; returned as it is where oneDNN doesn't take it.
        rows: Roughly how many rows a product will have.
    """
    import torch

    if weight.device.type != "cpu" or not onednn_supports(weight.dtype):
        return weight
    ordered: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
    return ordered


def use_in(module: nn.Module) -> None:
    """Let every plain linear layer of a module that is used for inference alone compute with `linear`.

    A block of only such a layer and its exact gelu, as in BERT, becomes one step.
    """
    from torch import nn

    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.forward = _forward_of(layer)  # type: ignore[assignment,method-assign]
        elif _is_gelu_of_linear(layer):
            layer.forward = _forward_of(cast(nn.Linear, layer.dense), gelu=True)


def pack_in(module: nn.Module, rows: int) -> dict[nn.Linear, torch.Tensor]:
    """Replace the weights of the layers that `use_in` changed by packed ones, for products of about so many rows.

    Returns:
        The previous weight of each layer, to restore it in a module that reads weights in other ways.
    """
    from torch import nn

    plain = {layer: layer.weight for layer in module.modules() if type(layer) is nn.Linear and "forward" in vars(layer)}
    for layer, weight in plain.items():
        layer.weight = nn.Parameter(pack_weight(weight.data, rows), requires_grad=False)
    return plain


def _is_gelu_of_linear(block: nn.Module) -> bool:
    from torch import nn
    from transformers.activations import GELUActivation

    kinds = {name: type(child) for name, child in block.named_children()}
    return kinds == {"dense": nn.Linear, "intermediate_act_fn": GELUActivation}


def _forward_of(layer: nn.Linear, *, gelu: bool = False) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda rows: linear(rows.flatten(0, -2), layer.weight, layer.bias, gelu=gelu).view(*rows.shape[:-1], -1)


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
            ordered = torch.ops.mkldnn._reorder_linear_weight(second.contiguous(), len(rows))
            gated = torch.ops.mkldnn._linear_pointwise.binary(rows, activated, ordered, None, "mul")
    except RuntimeError:
        return False
    a, b = (rows.float() @ weight.float().T).chunk(2, dim=-1)
    return torch.allclose(gated.float(), torch.nn.functional.gelu(a) * b, rtol=0.05, atol=0.01)

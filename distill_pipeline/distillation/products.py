"""Products with a layer's weights, through the fastest exact routine that torch carries for this processor.

torch sends float32 products to MKL, which gives processors that are not Intel's its AVX2 code: measured on an
AVX-512 EPYC, 0.23 TFLOP/s where oneDNN, which the same torch carries, reaches 0.49 with the same result to the
last few digits. oneDNN also applies an activation or a gate while a product's result is still in the cache.
The entry points to it are those of torch's own compiler; each is tried on small matrices before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def linear(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return rows @ weight.T + bias, (n, outputs), in the dtype of rows (n, inputs) and weight (outputs, inputs)."""
    import torch

    if rows.device.type == "cpu" and onednn_takes(rows.dtype):
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
        return product
    return torch.nn.functional.linear(rows, weight, bias)


def gated_gelu(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return gelu(a) * b, (n, outputs), where a and b are the halves of rows @ weight.T + bias.

    Shazeer 2020, "GLU Variants Improve Transformer", equation 6 (GEGLU), with the exact gelu.

    Args:
        rows: (n, inputs).
        weight: (2 * outputs, inputs), the first half for a.
        bias: (2 * outputs,) or None.
    """
    import torch

    if rows.device.type == "cpu" and onednn_takes(rows.dtype):
        first, second = weight.chunk(2)
        first_bias, second_bias = (None, None) if bias is None else bias.chunk(2)
        activated = torch.ops.mkldnn._linear_pointwise(rows, first, first_bias, "gelu", [], "none")
        gated: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, activated, second, second_bias, "mul")
        return gated
    a, b = torch.nn.functional.linear(rows, weight, bias).chunk(2, dim=-1)
    return torch.nn.functional.gelu(a) * b


def use_in(module: nn.Module) -> None:
    """Let every plain linear layer of a module, which is kept for inference alone, compute through `linear`."""
    from torch import nn

    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.forward = _forward_of(layer)  # type: ignore[assignment,method-assign]


def _forward_of(layer: nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda rows: linear(rows.flatten(0, -2), layer.weight, layer.bias).view(*rows.shape[:-1], -1)


@lru_cache
def onednn_takes(dtype: torch.dtype) -> bool:
    """Whether this torch offers oneDNN's fused products on the CPU in this dtype, and they are right."""
    import torch

    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    steps = torch.arange(128 * 64, dtype=torch.float32) % 13 / 13 - 0.5
    weight, rows = steps.view(128, 64).to(dtype), steps[: 16 * 64].view(16, 64).to(dtype)
    first, second = weight.chunk(2)
    try:
        with torch.inference_mode():
            activated = torch.ops.mkldnn._linear_pointwise(rows, first, None, "gelu", [], "none")
            gated = torch.ops.mkldnn._linear_pointwise.binary(rows, activated, second, None, "mul")
    except RuntimeError:
        return False
    a, b = (rows.float() @ weight.float().T).chunk(2, dim=-1)
    return torch.allclose(gated.float(), torch.nn.functional.gelu(a) * b, rtol=0.05, atol=0.01)

"""A GPU's kernels for the steps between the matrix products of a ModernBERT's layer, in Triton.

In torch's steps, a layer computes next to nothing between its products and moves much memory: casts, the rotary
embedding, norms, the gate, and attention made for long sequences. Measured on an H100, 50,368 sequences of three tokens
through 28 layers of 1,024 numbers: 1,127 ms of the GPU's time in all with those steps and 220 with these kernels, of
which the products are 140. What torch.compile made of the same steps took 27 s to compile and saved a fifth.

Triton comes with torch where torch has CUDA. It needs a C compiler, and compiles each kernel once, in about a second,
into a cache in the user's home. This module is only imported to use Triton, so torch is imported at its top.
"""

import torch
import triton
import triton.language as tl

QUERIES, KEYS, WARPS = 64, 64, 4
"""Of one program of the attention kernel: the best of eight on an H100 for sequences of 3, 32 and 256 tokens."""

NUMBERS_PER_PROGRAM = 1024

HEAD_SIZES = (32, 64, 128)
"""That the attention kernel supports: powers of two whose halves fit matrix units."""


def add_norm(stream: torch.Tensor, added: torch.Tensor, norm: torch.nn.LayerNorm, dtype: torch.dtype) -> torch.Tensor:
    """Add to the residual stream in place and return its layer norm, (tokens, hidden), computed in float32.

    Ba et al. 2016, "Layer Normalization". The stream is float32 (tokens, hidden), what is added has any dtype; both are
    contiguous. The norm has a float32 weight and no bias.
    """
    tokens, hidden = stream.shape
    normed = torch.empty_like(stream, dtype=dtype)
    _add_norm[(tokens,)](stream, added, norm.weight, normed, hidden, norm.eps, triton.next_power_of_2(hidden))
    return normed


def gated_gelu(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return gelu(first) * second, with the exact gelu, in the arguments' shape and dtype; both contiguous."""
    gated = torch.empty_like(first)
    programs = triton.cdiv(first.numel(), NUMBERS_PER_PROGRAM)
    _gated_gelu[(programs,)](first, second, gated, first.numel(), NUMBERS_PER_PROGRAM)
    return gated


def attend(
    joined: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, shape: tuple[int, int, int], window: int
) -> torch.Tensor:
    """Rotate queries and keys by the rotary embedding and return the attention's output, (n * length, hidden).

    Su et al. 2021, "RoFormer". Both products' factors are rounded to the dtype of `joined`; their sums are float32.

    Args:
        joined: Queries, keys and values, (n * length, 3 * hidden), contiguous.
        cosine: float32 (length, head size), contiguous, of which the first half is read.
        sine: The same shape, of which the second half is read.
        shape: n, length, and the number of heads, whose size is one of `HEAD_SIZES`.
        window: How far a token attends to either side.
    """
    count, length, heads = shape
    half = joined.shape[1] // (6 * heads)
    attended = joined.new_empty(len(joined), 2 * half * heads)
    together = max(1, QUERIES // length)  # short sequences share a program
    blocks = triton.cdiv(together * length, QUERIES)
    _attend[(triton.cdiv(count, together), heads, blocks)](
        joined, cosine, sine, attended, len(joined), length, together * length, heads, window, (2 * half) ** -0.5,
        half, QUERIES, KEYS, num_warps=WARPS, num_stages=1,
    )  # fmt: skip
    return attended


@triton.jit
def _add_norm(stream, added, weight, normed, hidden, epsilon, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * hidden
    column = tl.arange(0, BLOCK)
    inside = column < hidden
    numbers = tl.load(stream + row + column, mask=inside, other=0.0)
    numbers += tl.load(added + row + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(stream + row + column, numbers, mask=inside)
    centred = tl.where(inside, numbers - tl.sum(numbers, 0) / hidden, 0.0)
    scale = 1 / tl.sqrt(tl.sum(centred * centred, 0) / hidden + epsilon)
    result = centred * scale * tl.load(weight + column, mask=inside, other=0.0)
    tl.store(normed + row + column, result.to(normed.dtype.element_ty), mask=inside)


@triton.jit
def _gated_gelu(first, second, gated, count, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    x = tl.load(first + place, mask=inside, other=0.0).to(tl.float32)
    activated = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))
    result = activated * tl.load(second + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(gated + place, result.to(gated.dtype.element_ty), mask=inside)


@triton.jit
def _turned(rows, cosine, sine, places, inside, length, stride, HALF: tl.constexpr):
    """Load both halves (a, b) of one head's vectors and rotate them to (a cos - b sin, b cos + a sin)."""
    column = tl.arange(0, HALF)[None, :]
    inside = inside[:, None]
    turns = (places % length)[:, None] * (2 * HALF) + column
    cos = tl.load(cosine + turns, mask=inside, other=0.0)
    sin = tl.load(sine + HALF + turns, mask=inside, other=0.0)
    first = tl.load(rows + places[:, None] * stride + column, mask=inside, other=0.0)
    second = tl.load(rows + places[:, None] * stride + HALF + column, mask=inside, other=0.0)
    a, b = first.to(tl.float32), second.to(tl.float32)
    return (a * cos - b * sin).to(first.dtype), (b * cos + a * sin).to(first.dtype)


@triton.jit(do_not_specialize=["tokens", "length", "group", "window"])  # one binary for all lengths
def _attend(
    joined, cosine, sine, attended, tokens, length, group, heads, window, scale,
    HALF: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
):  # fmt: skip
    """Attention of one head in a group of whole, consecutive sequences, for a block of their queries.

    Keys come in blocks, with a running sum of the weights and of the weighted values (Dao et al. 2022,
    "FlashAttention").
    """
    start, head = tl.program_id(0).to(tl.int64) * group, tl.program_id(1)
    first = tl.program_id(2) * QUERIES
    asking = first + tl.arange(0, QUERIES)
    here = tl.minimum(group, tokens - start).to(tl.int32)
    column = tl.arange(0, 2 * HALF)[None, :]
    hidden = heads * HALF * 2
    stride = 3 * hidden
    rows = joined + start * stride + head * HALF * 2
    query_a, query_b = _turned(rows, cosine, sine, asking, asking < here, length, stride, HALF)
    # Finite numbers, not infinities: a block may hold no key that a query attends to, and later blocks scale what such
    # a block added down to zero.
    highest = tl.full((QUERIES,), -1e30, tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    mixed = tl.zeros((QUERIES, 2 * HALF), tl.float32)
    nearest = tl.maximum(first - window, 0) // KEYS * KEYS
    for block in range(nearest, tl.minimum(first + QUERIES + window, here), KEYS):
        places = block + tl.arange(0, KEYS)
        inside = places < here
        key_a, key_b = _turned(rows + hidden, cosine, sine, places, inside, length, stride, HALF)
        value = tl.load(rows + 2 * hidden + places[:, None] * stride + column, mask=inside[:, None], other=0.0)
        scores = (tl.dot(query_a, tl.trans(key_a)) + tl.dot(query_b, tl.trans(key_b))) * scale
        seen = (asking // length)[:, None] == (places // length)[None, :]
        seen = seen & (tl.abs(asking[:, None] - places[None, :]) <= window)
        scores = tl.where(seen, scores, -1e30)
        higher = tl.maximum(highest, tl.max(scores, 1))
        weights = tl.exp(scores - higher[:, None])
        kept = tl.exp(highest - higher)
        total = total * kept + tl.sum(weights, 1)
        mixed = mixed * kept[:, None] + tl.dot(weights.to(value.dtype), value)
        highest = higher
    target = attended + (start + asking[:, None]) * hidden + head * HALF * 2 + column
    result = (mixed / total[:, None]).to(attended.dtype.element_ty)
    tl.store(target, result, mask=(asking < here)[:, None])

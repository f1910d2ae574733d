"""Functions of torch spelled out while a module is traced, where torch's own ONNX form fails or differs.

Seen with torch 2.13. Attention: under a float mask the exporter's decomposition dies on a view (T5, BEiT, Swin); a
query that may look at nothing answers 0 in torch and the mean of all values in the exported graph (left-padded rows of
a decoder). take_along_dim: it compares sizes as numbers, which fixes the batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class SpelledOut(TorchFunctionMode):
    """While active, every call of these functions, from wherever it was imported, becomes one of those below."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function is torch.nn.functional.scaled_dot_product_attention:
            return attention(*args, **(kwargs or {}))
        if function in (torch.take_along_dim, torch.Tensor.take_along_dim):
            return along(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """softmax(query key^T scale + mask) value, as torch's documentation of scaled_dot_product_attention defines it.

    query (..., heads, L, E), key (..., heads, S, E), value (..., heads, S, V) → (..., heads, L, V). A query that may
    look at no key answers 0.
    """
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    factor = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = query @ key.transpose(-2, -1) * factor
    if is_causal:
        attn_mask = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool, device=query.device).tril()
    allowed = attn_mask
    if attn_mask is not None and attn_mask.dtype != torch.bool:
        scores, allowed = scores + attn_mask, attn_mask != -math.inf
    if allowed is None:
        weights = torch.softmax(scores, -1)
    else:
        # The least finite number, not minus infinity: a row of those would be NaN. What is not allowed is 0 afterwards.
        weights = torch.softmax(scores.masked_fill(~allowed, torch.finfo(scores.dtype).min), -1)
        weights = weights.masked_fill(~allowed, 0.0)
    if dropout_p:
        weights = torch.nn.functional.dropout(weights, dropout_p)
    return weights @ value


def along(
    input: torch.Tensor,  # noqa: A002 - torch's own name, which a caller may write
    indices: torch.Tensor,
    dim: int | None = None,
) -> torch.Tensor:
    """The values at these places along a dimension, the others made alike as by broadcasting; see take_along_dim."""
    if dim is None:
        return input.flatten().gather(0, indices.flatten())
    dim %= input.dim()

    def spread(one: torch.Tensor, sizes: torch.Size) -> torch.Tensor:
        wide = [own if own != 1 else other for own, other in zip(one.shape, sizes, strict=True)]
        wide[dim] = one.shape[dim]
        return one.expand(wide)

    places = indices % input.shape[dim]  # torch 2.13 counts from the end too, and around it
    return spread(input, indices.shape).gather(dim, spread(places, input.shape))

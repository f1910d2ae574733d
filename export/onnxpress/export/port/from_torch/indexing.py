"""Indices that are places one after the other: slices say the same, or one place is taken of each row."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx


def size_of(tensor: Any, axis: int) -> int:
    """The function that stands in the graph for a size that varies."""
    return int(tensor.shape[axis])


def without_arange(value: Any, key: Any) -> Any:
    """The index with slices for tensors that are all places of their axis one after the other, each on its own axis."""
    if not isinstance(key, tuple) or not isinstance(value, torch.Tensor) or len(key) > value.dim():
        return key
    if not all(isinstance(one, fx.Proxy) and isinstance(one.pair[0], torch.Tensor) for one in key) or len(key) < 2:
        return key
    rank = max(one.pair[0].dim() for one in key)
    wide: list[int] = []
    for axis, one in enumerate(key):
        tensor = one.pair[0]
        axes = [n + rank - tensor.dim() for n, size in enumerate(tensor.shape) if size != 1]
        whole = tensor.reshape(-1).tolist() == list(range(value.shape[axis]))
        if len(axes) != 1 or not whole or depends(one.node):
            return key
        wide += axes
    if wide != sorted(set(wide)):
        return key
    return tuple(slice(None) if axis in wide else None for axis in range(rank))


def of_each_row(x: Any, key: Any) -> Any:
    """The index along the second axis in `x[torch.arange(rows), index]`, one for each row; None of other indices."""
    value = x.pair[0]
    key = _without_whole(key)
    if not isinstance(value, torch.Tensor) or not isinstance(key, tuple) or len(key) != 2 or value.dim() < 2:
        return None
    if not all(isinstance(one, fx.Proxy) and isinstance(one.pair[0], torch.Tensor) for one in key):
        return None
    rows, places = key
    plain = all(a.dim() == 1 and a.tolist() == list(range(b.shape[0])) for a, b in zip(rows.pair, x.pair, strict=True))
    if not plain or depends(rows.node) or places.pair[0].shape != rows.pair[0].shape or places.dtype == torch.bool:
        return None
    places = places if places.dtype == torch.int64 else places.long()
    return places[(slice(None), *[None] * (value.dim() - 1))]


def several_of_each_row(x: Any, key: Any) -> Any:
    """`x[rows, places]` where `rows` is its own row at every place, and several are taken of each; None of others."""
    value = x.pair[0]
    key = _without_whole(key)
    if not isinstance(value, torch.Tensor) or not isinstance(key, tuple) or len(key) != 2 or value.dim() < 2:
        return None
    if not all(isinstance(one, fx.Proxy) and isinstance(one.pair[0], torch.Tensor) for one in key):
        return None
    rows, places = key
    if depends(rows.node) or places.pair[0].dim() < 2 or places.pair[0].dtype != torch.int64:
        return None
    for a, b, c in zip(rows.pair, places.pair, x.pair, strict=True):
        own = torch.tensor(range(c.shape[0])).reshape(-1, *[1] * (b.dim() - 1))
        if a.dim() != b.dim() or b.shape[0] != c.shape[0] or not torch.equal(a.expand_as(b), own.expand_as(b)):
            return None
    flat = places.reshape(places.shape[0], -1)[(slice(None), slice(None), *[None] * (value.dim() - 2))]
    return torch.take_along_dim(x, flat, 1).reshape(*places.shape, *x.shape[2:])


def _without_whole(key: Any) -> Any:
    """The index without `:` at its end."""
    while isinstance(key, tuple) and key and isinstance(key[-1], slice) and key[-1] == slice(None):
        key = key[:-1]
    return key


def depends(node: fx.Node) -> bool:
    """Whether the value depends on the inputs' values; on their sizes does not count."""
    left, seen = [node], set()
    while left:
        node = left.pop()
        if node.op == "placeholder":
            return True
        if node not in seen and node.target is not size_of:
            seen.add(node)
            left += node.all_input_nodes
    return False

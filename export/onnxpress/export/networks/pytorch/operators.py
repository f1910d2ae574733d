"""ONNX forms of the torch operators for which torch.onnx 2.13 has none: what its translation table is given besides.

The names of the arguments are those of torch's own schemas, which the exporter calls by.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir
import onnxscript
import torch

_OPSET = 18
op = onnxscript.values.Opset("", _OPSET)
_SORTED = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.INT32, ir.DataType.INT64})
"""what ONNX Runtime's TopK takes on every provider"""


def table() -> dict[Any, Callable[..., Any]]:
    """torch operator → its ONNX form, for `custom_translation_table`."""
    aten = torch.ops.aten
    return {
        aten.sort.stable: sort_stable,
        aten.cumprod.default: cumprod,
        aten.adaptive_max_pool2d.default: adaptive_max_pool,
        aten.adaptive_max_pool3d.default: adaptive_max_pool,
        aten._adaptive_avg_pool3d.default: adaptive_avg_pool,
        aten.adaptive_avg_pool3d.default: adaptive_avg_pool,
    }


def sort_stable(self: Any, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """Values and indices: of equal values TopK gives the lower index first, which is what stable means."""
    rank = len(self.shape)
    if rank == 0:
        return op.Identity(self), op.Constant(value_int=0)
    values = self if self.dtype in _SORTED else op.Cast(self, to=_wider(self.dtype))
    size = op.Gather(op.Shape(self), op.Constant(value_ints=[dim % rank]))
    found, indices = op.TopK(values, size, axis=dim % rank, largest=int(descending), sorted=1)
    return (found if self.dtype in _SORTED else op.CastLike(found, self)), indices


def _wider(dtype: Any) -> int:
    return int(ir.DataType.FLOAT if dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16) else ir.DataType.INT64)


def cumprod(self: Any, dim: int, dtype: int = -1) -> Any:
    """One factor after the other, as torch multiplies: another order would overflow elsewhere."""
    shape, kind = self.shape, self.dtype
    rank = len(shape)
    if dtype != -1 or not kind.is_floating_point():
        kind = ir.DataType.INT64 if dtype == -1 else ir.DataType(dtype)
        self = op.Cast(self, to=int(kind))
    if rank == 0:
        return op.Identity(self)
    axis = dim % rank
    forth = [axis, *(other for other in range(rank) if other != axis)]
    turned = op.Transpose(self, perm=forth)
    sizes = op.Slice(op.Shape(turned), _list(1), _list(rank))
    ones = op.Expand(op.CastLike(op.Constant(value_float=1.0), self), sizes)
    # The exporter counts one output where the schema says any number: the second is the products, the first the last.
    node = op.Scan(ones, turned, body=_running_product(), num_scan_inputs=1).producer()
    node.resize_outputs(2)
    _, products = node.outputs
    products.dtype, products.shape = kind, ir.Shape([shape[place] for place in forth])
    return op.Transpose(products, perm=[forth.index(place) for place in range(rank)])


def _running_product() -> ir.Graph:
    before, factor = ir.Value(name="cumprod_before"), ir.Value(name="cumprod_factor")
    product = ir.node("Mul", [before, factor])
    answer = ir.node("Identity", [product.outputs[0]])
    product.outputs[0].name, answer.outputs[0].name = "cumprod_product", "cumprod_answer"
    return ir.Graph(
        [before, factor],
        [product.outputs[0], answer.outputs[0]],
        nodes=[product, answer],
        opset_imports={"": _OPSET},
        name="cumprod",
    )


def adaptive_max_pool(self: Any, output_size: Sequence[int]) -> Any:
    """The largest of each window, and its place in the input as torch counts them: over all pooled axes, flat."""
    return _pooled(self, output_size, lambda part, axis: op.ReduceMax(part, _list(axis))), _places(self, output_size)


def adaptive_avg_pool(self: Any, output_size: Sequence[int]) -> Any:
    """The mean of each window."""
    return _pooled(self, output_size, lambda part, axis: op.ReduceMean(part, _list(axis)))


def _list(*numbers: int) -> Any:
    return op.Constant(value_ints=list(numbers))


def _windows(size: Any, count: int) -> list[tuple[Any, Any]]:
    """Where each of `count` windows over an axis of this size begins and ends: ⌊i n / k⌋ and ⌈(i + 1) n / k⌉."""
    return [
        (
            op.Div(op.Mul(size, _list(number)), _list(count)),
            op.Div(op.Add(op.Mul(size, _list(number + 1)), _list(count - 1)), _list(count)),
        )
        for number in range(count)
    ]


def _pooled(self: Any, output_size: Sequence[int], reduce: Callable[[Any, int], Any]) -> Any:
    """One axis after the other: the windows are boxes."""
    first = len(self.shape) - len(output_size)
    for axis, count in enumerate(output_size, first):
        windows = _windows(op.Gather(op.Shape(self), _list(axis)), count)
        parts = [reduce(op.Slice(self, start, stop, _list(axis)), axis) for start, stop in windows]
        self = op.Concat(*parts, axis=axis)
    return self


def _places(self: Any, output_size: Sequence[int]) -> Any:
    first = len(self.shape) - len(output_size)
    axes = list(range(first, first + len(output_size)))
    shape = op.Shape(self)
    sizes = [op.Gather(shape, _list(axis)) for axis in axes]
    before = op.Slice(shape, _list(0), _list(first))
    windows = [_windows(size, count) for size, count in zip(sizes, output_size, strict=True)]
    places = []
    for box in itertools.product(*windows):
        starts, stops = (op.Concat(*ends, axis=0) for ends in zip(*box, strict=True))
        part = op.Slice(self, starts, stops, _list(*axes))
        flat = op.Reshape(part, op.Concat(before, _list(-1), axis=0))
        inside = op.ArgMax(flat, axis=-1, keepdims=1)
        place, step = None, _list(1)
        # From the last axis to the first: where in the box, and so where in the input.
        for (start, stop), size in zip(reversed(box), reversed(sizes), strict=True):
            wide = op.Sub(stop, start)
            along = op.Mul(op.Add(op.Mod(inside, wide), start), step)
            place = along if place is None else op.Add(place, along)
            inside, step = op.Div(inside, wide), op.Mul(step, size)
        places.append(place)
    return op.Reshape(op.Concat(*places, axis=-1), op.Concat(before, _list(*output_size), axis=0))

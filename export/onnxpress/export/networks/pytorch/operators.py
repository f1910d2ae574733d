"""ONNX forms of the torch operators for which torch.onnx 2.13 has none: what its translation table is given besides.

The names of the arguments are those of torch's own schemas, which the exporter calls by.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir
import torch

from onnxpress.export.networks.pytorch import division, linear_algebra
from onnxpress.export.networks.pytorch.opset import OPSET, ints, op

_SORTED = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.INT32, ir.DataType.INT64})
"""what ONNX Runtime's TopK takes on every provider"""


def table() -> dict[Any, Callable[..., Any]]:
    """torch operator → its ONNX form, for `custom_translation_table`."""
    aten = torch.ops.aten
    return {
        aten.sort.stable: sort_stable,
        aten.cumprod.default: cumprod,
        aten.cummax.default: cummax,
        aten.cummin.default: cummin,
        aten.median.dim: median,
        aten.kthvalue.default: kthvalue,
        aten.searchsorted.Tensor: searchsorted,
        aten.adaptive_max_pool2d.default: adaptive_max_pool,
        aten.adaptive_max_pool3d.default: adaptive_max_pool,
        aten._adaptive_avg_pool2d.default: adaptive_avg_pool,
        aten._adaptive_avg_pool3d.default: adaptive_avg_pool,
        aten.log_sigmoid.default: log_sigmoid,
        aten.log1p.default: log1p,
        aten.expm1.default: expm1,
        aten.celu.default: celu,
        aten.fmax.default: fmax,
        aten.fmin.default: fmin,
        aten.nanmedian.dim: nanmedian,
        aten.mode.default: mode,
        aten.adaptive_avg_pool3d.default: adaptive_avg_pool,
        aten.linalg_inv_ex.default: linear_algebra.inverse,
        aten._linalg_solve_ex.default: linear_algebra.solve,
        aten.linalg_cholesky_ex.default: linear_algebra.cholesky,
        aten.linalg_solve_triangular.default: linear_algebra.solve_triangular,
        aten.cholesky_solve.default: linear_algebra.cholesky_solve,
        **division.table(),
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
    return _running("Mul", self, shape, kind, dim % rank)


def cummax(self: Any, dim: int) -> Any:
    """The largest so far, and the last place where it stood."""
    return _extreme_so_far("Max", self, dim)


def cummin(self: Any, dim: int) -> Any:
    """The smallest so far, and the last place where it stood."""
    return _extreme_so_far("Min", self, dim)


def _extreme_so_far(kind: str, self: Any, dim: int) -> Any:
    rank = len(self.shape)
    if rank == 0:
        return op.Identity(self), op.Constant(value_int=0)
    axis, shape = dim % rank, self.shape
    values = _running(kind, self, shape, self.dtype, axis)
    size = op.Squeeze(op.Gather(op.Shape(self), ints(axis)), ints(0))
    places = op.Range(op.Constant(value_int=0), size, op.Constant(value_int=1))
    places = op.Reshape(places, ints(*(-1 if place == axis else 1 for place in range(rank))))
    stood = op.Where(op.Equal(self, values), places, op.Constant(value_int=0))
    return values, _running("Max", stood, shape, ir.DataType.INT64, axis)


def _running(kind: str, self: Any, shape: Any, dtype: Any, axis: int) -> Any:
    """Each value combined with all before it along the axis, one after the other."""
    rank = len(shape)
    forth = [axis, *(other for other in range(rank) if other != axis)]
    turned = op.Transpose(self, perm=forth)
    if kind == "Mul":
        sizes = op.Slice(op.Shape(turned), ints(1), ints(rank))
        start = op.Expand(op.CastLike(op.Constant(value_float=1.0), self), sizes)
    else:
        start = op.Gather(turned, op.Constant(value_int=0), axis=0)  # against itself it stays
    # The exporter counts one output where the schema says any number: the first is the last of the second.
    node = op.Scan(start, turned, body=_combined(kind), num_scan_inputs=1).producer()
    node.resize_outputs(2)
    _, made = node.outputs
    made.dtype, made.shape = dtype, ir.Shape([shape[place] for place in forth])
    return op.Transpose(made, perm=[forth.index(place) for place in range(rank)])


def _combined(kind: str) -> ir.Graph:
    before, value = ir.Value(name="running_before"), ir.Value(name="running_value")
    both = ir.node(kind, [before, value])
    answer = ir.node("Identity", [both.outputs[0]])
    both.outputs[0].name, answer.outputs[0].name = "running_both", "running_answer"
    return ir.Graph(
        [before, value],
        [both.outputs[0], answer.outputs[0]],
        nodes=[both, answer],
        opset_imports={"": OPSET},
        name="running",
    )


def median(self: Any, dim: int, keepdim: bool = False) -> Any:
    """The lower of the two in the middle, and its place."""
    size = op.Gather(op.Shape(self), ints(dim % len(self.shape)))
    return _smallest(self, op.Div(op.Add(size, ints(1)), ints(2)), dim, keepdim)


def kthvalue(self: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest, and its place."""
    return _smallest(self, ints(k), dim, keepdim)


def _smallest(self: Any, k: Any, dim: int, keepdim: bool) -> Any:
    axis = dim % len(self.shape)
    values = self if self.dtype in _SORTED else op.Cast(self, to=_wider(self.dtype))
    found = op.TopK(values, k, axis=axis, largest=0, sorted=1)
    last = [op.Slice(one, ints(-1), ints(2**31 - 1), ints(axis)) for one in found]
    value, place = last if keepdim else (op.Squeeze(one, ints(axis)) for one in last)
    return (value if self.dtype in _SORTED else op.CastLike(value, self)), place


def log_sigmoid(self: Any) -> Any:
    """-log(1 + exp(-x)): the logarithm of a sigmoid is minus infinity where that is 0, from -18 on in the runtime."""
    return op.Neg(op.Softplus(op.Neg(self)))


def log1p(self: Any) -> Any:
    """log(1 + x), exact relatively where x is small: what rounding makes of 1 + x is taken back (Kahan)."""
    if not self.dtype.is_floating_point():
        self = op.Cast(self, to=int(ir.DataType.FLOAT))
    one = op.CastLike(op.Constant(value_float=1.0), self)
    whole = op.Add(one, self)
    kept = op.Sub(whole, one)  # x, as far as the sum could hold it
    lost = op.Equal(kept, op.Sub(one, one))
    share = op.Div(self, op.Where(lost, one, kept))
    logarithm = op.Log(whole)
    found = op.Where(op.Equal(kept, self), logarithm, op.Mul(logarithm, share))
    return op.Where(lost, self, found)


def expm1(self: Any) -> Any:
    """exp(x) - 1 as tanh(x / 2) (exp(x) + 1), which is exact relatively where x is small."""
    if not self.dtype.is_floating_point():
        self = op.Cast(self, to=int(ir.DataType.FLOAT))
    return _expm1(self)


def _expm1(self: Any) -> Any:
    half, one, near = (op.CastLike(op.Constant(value_float=number), self) for number in (0.5, 1.0, 1e-9))
    found = op.Mul(op.Tanh(op.Mul(self, half)), op.Add(op.Exp(self), one))
    return op.Where(op.Less(op.Abs(self), near), self, found)  # the runtime's tanh is inexact near the least numbers


def celu(self: Any, alpha: float = 1.0) -> Any:
    """x above 0, alpha expm1(x / alpha) below; the runtime's own Celu is exp(x) - 1, which is inexact near 0."""
    zero, scale = (op.CastLike(op.Constant(value_float=number), self) for number in (0.0, float(alpha)))
    below = op.Mul(_expm1(op.Div(op.Min(self, zero), scale)), scale)
    return op.Where(op.Greater(self, zero), self, below)


def fmax(self: Any, other: Any) -> Any:
    """The larger of two; of a number and NaN the number."""
    return _known(self, other, op.Max(self, other))


def fmin(self: Any, other: Any) -> Any:
    """The smaller of two; of a number and NaN the number."""
    return _known(self, other, op.Min(self, other))


def _known(one: Any, other: Any, both: Any) -> Any:
    if not one.dtype.is_floating_point():
        return both
    return op.Where(op.IsNaN(one), other, op.Where(op.IsNaN(other), one, both))


def nanmedian(self: Any, dim: int, keepdim: bool = False) -> Any:
    """The lower of the two in the middle of the numbers, and its place; NaN where there are none."""
    axis = dim % len(self.shape)
    gap = op.IsNaN(self)
    filled = op.Where(gap, op.CastLike(op.Constant(value_float=float("inf")), self), self)
    size = op.Gather(op.Shape(self), ints(axis))
    found = op.TopK(filled, size, axis=axis, largest=0, sorted=1)
    numbers = op.ReduceSum(op.Cast(op.Not(gap), to=int(ir.DataType.INT64)), ints(axis), keepdims=1)
    middle = op.Div(op.Max(op.Sub(numbers, ints(1)), ints(0)), ints(2))
    value, place = (op.GatherElements(one, middle, axis=axis) for one in found)
    nothing = op.CastLike(op.Constant(value_float=float("nan")), self)
    value = op.Where(op.Equal(numbers, ints(0)), nothing, value)
    return (value, place) if keepdim else tuple(op.Squeeze(one, ints(axis)) for one in (value, place))


def mode(self: Any, dim: int = -1, keepdim: bool = False) -> Any:
    """The value that is there most often, of several the smallest, and the last place where it stands."""
    axis = dim % len(self.shape)
    same = op.Equal(op.Unsqueeze(self, ints(axis + 1)), op.Unsqueeze(self, ints(axis)))
    counts = op.ReduceSum(op.Cast(same, to=int(ir.DataType.INT64)), ints(axis + 1), keepdims=0)
    often = op.Equal(counts, op.ReduceMax(counts, ints(axis), keepdims=1))
    largest = op.ReduceMax(self, ints(axis), keepdims=1)
    value = op.ReduceMin(op.Where(often, self, largest), ints(axis), keepdims=1)
    size = op.Squeeze(op.Gather(op.Shape(self), ints(axis)), ints(0))
    places = op.Range(op.Constant(value_int=0), size, op.Constant(value_int=1))
    places = op.Reshape(places, ints(*(-1 if place == axis else 1 for place in range(len(self.shape)))))
    place = op.ReduceMax(op.Where(op.Equal(self, value), places, ints(0)), ints(axis), keepdims=1)
    return (value, place) if keepdim else tuple(op.Squeeze(one, ints(axis)) for one in (value, place))


def searchsorted(
    sorted_sequence: Any,
    self: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """How many of the sequence lie below each value; up to it, on the right side."""
    if sorter is not None:
        raise NotImplementedError("searchsorted with a sorter")
    rows = sorted_sequence if len(sorted_sequence.shape) == 1 else op.Unsqueeze(sorted_sequence, ints(-2))
    values = op.Unsqueeze(self, ints(-1))
    below = op.LessOrEqual(rows, values) if right or side == "right" else op.Less(rows, values)
    counted = op.ReduceSum(op.Cast(below, to=int(ir.DataType.INT64)), ints(-1), keepdims=0)
    return op.Cast(counted, to=int(ir.DataType.INT32)) if out_int32 else counted


def adaptive_max_pool(self: Any, output_size: Sequence[int]) -> Any:
    """The largest of each window, and its place in the input as torch counts them: over all pooled axes, flat."""
    return _pooled(self, output_size, lambda part, axis: op.ReduceMax(part, ints(axis))), _places(self, output_size)


def adaptive_avg_pool(self: Any, output_size: Sequence[int]) -> Any:
    """The mean of each window; of windows of one size by ONNX's own pooling."""
    sizes = list(self.shape)[-len(output_size) :]
    if len(self.shape) == len(output_size) + 2 and all(
        isinstance(size, int) and size % count == 0 for size, count in zip(sizes, output_size, strict=True)
    ):
        steps = [size // count for size, count in zip(sizes, output_size, strict=True)]
        return op.AveragePool(self, kernel_shape=steps, strides=steps)
    return _pooled(self, output_size, lambda part, axis: op.ReduceMean(part, ints(axis)))


def _windows(size: Any, count: int) -> list[tuple[Any, Any]]:
    """Where each of `count` windows over an axis of this size begins and ends: ⌊i n / k⌋ and ⌈(i + 1) n / k⌉."""
    return [
        (
            op.Div(op.Mul(size, ints(number)), ints(count)),
            op.Div(op.Add(op.Mul(size, ints(number + 1)), ints(count - 1)), ints(count)),
        )
        for number in range(count)
    ]


def _pooled(self: Any, output_size: Sequence[int], reduce: Callable[[Any, int], Any]) -> Any:
    """One axis after the other: the windows are boxes."""
    first = len(self.shape) - len(output_size)
    for axis, count in enumerate(output_size, first):
        windows = _windows(op.Gather(op.Shape(self), ints(axis)), count)
        parts = [reduce(op.Slice(self, start, stop, ints(axis)), axis) for start, stop in windows]
        self = op.Concat(*parts, axis=axis)
    return self


def _places(self: Any, output_size: Sequence[int]) -> Any:
    first = len(self.shape) - len(output_size)
    axes = list(range(first, first + len(output_size)))
    shape = op.Shape(self)
    sizes = [op.Gather(shape, ints(axis)) for axis in axes]
    before = op.Slice(shape, ints(0), ints(first))
    windows = [_windows(size, count) for size, count in zip(sizes, output_size, strict=True)]
    places = []
    for box in itertools.product(*windows):
        starts, stops = (op.Concat(*ends, axis=0) for ends in zip(*box, strict=True))
        part = op.Slice(self, starts, stops, ints(*axes))
        flat = op.Reshape(part, op.Concat(before, ints(-1), axis=0))
        inside = op.ArgMax(flat, axis=-1, keepdims=1)
        place, step = None, ints(1)
        # From the last axis to the first: where in the box, and so where in the input.
        for (start, stop), size in zip(reversed(box), reversed(sizes), strict=True):
            wide = op.Sub(stop, start)
            along = op.Mul(op.Add(op.Mod(inside, wide), start), step)
            place = along if place is None else op.Add(place, along)
            inside, step = op.Div(inside, wide), op.Mul(step, size)
        places.append(place)
    return op.Reshape(op.Concat(*places, axis=-1), op.Concat(before, ints(*output_size), axis=0))

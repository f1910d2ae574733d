"""Products and attention, tensors made of numbers, and functions that are layers in Keras."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from onnxpress.export.port.code import LOWEST, factor, literal
from onnxpress.export.port.layout import Value, identity
from onnxpress.export.port.to_keras.images import resized
from onnxpress.export.port.to_keras.making import without_learning
from onnxpress.export.port.to_keras.registry import FUNCTIONS, function
from onnxpress.export.port.to_keras.reshaping import shape_of, spread
from onnxpress.export.port.to_keras.writer import Writer


@function("matmul")
def _matmul(w: Writer, x: Value, other: Value) -> Value:
    x, other = w.made(x), w.made(other)
    if other.rank == 2 and x.rank >= 2 and x.perm[-1] == x.rank - 1:
        w.settle(x)
        return w.result(f"ops.matmul({x.code}, {w.plain(other).code})", x.perm)
    a, b = w.plain(x, "the product is over the last axes"), w.plain(other, "the product is over the last axes")
    return w.result(f"ops.matmul({a.code}, {b.code})")


@function("einsum")
def _einsum(w: Writer, equation: str, *operands: Any) -> Value:
    codes = ", ".join(w.plain(w.made(o)).code for o in spread(operands))
    return w.result(f'ops.einsum("{equation}", {codes})')


@function("linear")
def _linear(w: Writer, x: Value, weight: Value, bias: Value | None = None) -> Value:
    x = w.plain(x)
    code = f"ops.matmul({x.code}, ops.transpose({w.plain(w.made(weight)).code}))"
    if bias is not None:
        code = f"{code} + {w.made(bias).code}"
    return w.result(code, bare=bias is None)


@function("scaled_dot_product_attention")
def _attention(
    w: Writer,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    q, k, v = (w.plain(part, "heads lie before time") for part in (query, key, value))
    swapped = (*range(k.rank - 2), k.rank - 1, k.rank - 2)
    scaled = float(scale) if scale is not None else 1 / math.sqrt(q.shown.first[-1])
    name = w.fresh("scores")
    w.lines.append(f"{name} = ops.matmul({q.code}, ops.transpose({k.code}, {swapped})) * {factor(scaled)}")
    if is_causal:
        rows, columns = w.fresh("rows"), w.fresh("columns")
        w.lines.append(f"{rows} = ops.arange(ops.shape({name})[-2])")
        w.lines.append(f"{columns} = ops.arange(ops.shape({name})[-1])")
        w.lines.append(f'{name} = ops.where({rows}[:, None] >= {columns}, {name}, -float("inf"))')
    hidden = ""
    if attn_mask is not None:
        mask = w.plain(attn_mask)
        if mask.shown.dtype == "bool":
            hidden = mask.code
            w.lines.append(f"{name} = ops.where({mask.code}, {name}, {LOWEST})")
        else:
            hidden = f"{w.operand(mask)} == 0" if mask.shown.hides else ""
            w.lines.append(f"{name} = {name} + {mask.code}")
    weights = f"ops.softmax({name}, axis=-1)"
    if hidden:  # of a row that sees nothing the answer is 0
        weights = f"ops.where({hidden}, {weights}, 0.0)"
    if dropout_p:
        weights = f"self.{_dropout_layer(w, dropout_p)}({weights})"
    return w.result(f"ops.matmul({weights}, {v.code})")


@function("arange")
def _arange(w: Writer, *bounds: Any, dtype: Any = None, device: Any = None, **_: Any) -> Value:
    codes = ", ".join(b.code if isinstance(b, Value) else repr(b) for b in bounds)
    return w.result(f"ops.arange({codes}, dtype={_kind(w)})")


def _kind(w: Writer) -> str:
    """The step's dtype as an argument; of a usual float whatever the floats are, see `elementwise.cast`."""
    kind = w.step.shown.dtype
    return "keras.config.floatx()" if kind == "float32" else f'"{kind}"'


@function("full")
def _full(w: Writer, size: Any, fill_value: Any, **_: Any) -> Value:
    number = w.made(fill_value).code if isinstance(fill_value, Value) else literal(fill_value)
    return _laid(w, size, lambda shape: f"ops.full({shape}, {_infinite(number)}, dtype={_kind(w)})")


def _laid(w: Writer, sizes: Any, code: Callable[[str], str]) -> Value:
    """A tensor of one number, in the order of axes that it is wanted in."""
    place = (w.path, w.step.number)
    rank = w.step.shown.rank
    perm = w.shared.fills.get(place, identity(rank))
    found = w.result(code(shape_of([sizes[axis] for axis in perm] if len(sizes) == rank else sizes)), perm)
    found.fill = place if rank > 2 and len(sizes) == rank and place not in w.shared.fills else None
    return found


FUNCTIONS["new_full"] = lambda w, x, size, fill_value, **_: _full(w, size, fill_value)
FUNCTIONS["full_like"] = lambda w, x, fill_value, **_: w.like(x, f"ops.full_like({x.code}, {_infinite(fill_value)})")


def _infinite(number: Any) -> str:
    return {"inf": 'float("inf")', "-inf": '-float("inf")'}.get(str(number), str(number))


@function("linspace")
def _linspace(w: Writer, start: float, end: float, steps: int, **_: Any) -> Value:
    return w.result(f"ops.linspace({start}, {end}, {steps}, dtype={_kind(w)})")


@function("eye")
def _eye(w: Writer, n: Any, m: Any = None, **_: Any) -> Value:
    sizes = ", ".join(size.code if isinstance(size, Value) else str(size) for size in (n, m) if size is not None)
    return w.result(f"ops.eye({sizes}, dtype={_kind(w)})")


@function("addmm")
def _addmm(w: Writer, x: Value, mat1: Value, mat2: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    if beta != 1 or alpha != 1:
        raise w.refuse("addmm with factors has no correspondence")
    product = _matmul(w, mat1, mat2)
    return w.result(f"{product.code} + {w.plain(w.made(x)).code}", bare=False)


@function("baddbmm")
def _baddbmm(w: Writer, x: Value, batch1: Value, batch2: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    product = _matmul(w, batch1, batch2)
    scaled = product.code if alpha == 1 else f"{w.operand(product)} * {literal(alpha)}"
    if beta == 0:
        return w.result(scaled, bare=alpha == 1)
    added = w.plain(w.made(x))
    code = added.code if beta == 1 else f"{w.operand(added)} * {literal(beta)}"
    return w.result(f"{scaled} + {code}", bare=False)


def _filled_with(name: str) -> None:
    def write(w: Writer, *sizes: Any, dtype: Any = None, **_: Any) -> Value:
        sizes = spread(sizes)
        kind = w.step.shown.dtype
        shown = "" if kind == "float32" else f', dtype="{kind}"'
        return _laid(w, sizes, lambda shape: f"ops.{name}({shape}{shown})")

    FUNCTIONS[name] = write

    def like(w: Writer, x: Value, **_: Any) -> Value:
        other = "" if w.step.shown.dtype == x.shown.dtype else f", dtype={_kind(w)}"
        return w.like(x, f"ops.{name}_like({x.code}{other})")

    FUNCTIONS[f"{name}_like"] = like
    FUNCTIONS[f"new_{name}"] = lambda w, x, *sizes, **more: write(w, *sizes, **more)


_filled_with("zeros")
_filled_with("ones")
for _empty, _zeros in (("empty", "zeros"), ("empty_like", "zeros_like"), ("new_empty", "new_zeros")):
    FUNCTIONS[_empty] = FUNCTIONS[_zeros]  # what it holds is replaced before it is read


def _triangle(name: str) -> None:
    def write(w: Writer, x: Value, diagonal: int = 0) -> Value:
        x = w.plain(x)
        return w.result(f"ops.{name}({x.code}, k={diagonal})" if diagonal else f"ops.{name}({x.code})")

    FUNCTIONS[name] = write


_triangle("tril")
_triangle("triu")


@function("dropout")
def _dropout(w: Writer, x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    return w.like(x, f"self.{_dropout_layer(w, p)}({x.code})") if p else x


@function("dropped")
def _dropped(w: Writer, x: Value, rate: float, axes: tuple[int, ...]) -> Value:
    x = w.settle(w.made(x))
    number = sum(name.startswith("drop_path") for name in w.attributes)
    name = f"drop_path_{number + 1}" if number else "drop_path"
    w.attributes[name] = None
    w.init.append(f'self.{name} = layers.{of_rows(x, rate, axes)}, name="{name}")')
    return w.like(x, f"self.{name}({x.code})")


def of_rows(x: Value, rate: float, axes: tuple[int, ...]) -> str:
    """The constructor of a dropout of whole rows, without its closing bracket."""
    shape = literal(tuple(None if axis in axes else 1 for axis in x.perm))
    return f"Dropout({literal(rate)}, noise_shape={shape}"


def _dropout_layer(w: Writer, p: float) -> str:
    """A layer for a dropout that the source calls as a function."""
    number = sum(name.startswith("dropout") for name in w.attributes)
    name = f"dropout_{number}" if number else "dropout"
    w.attributes[name] = None
    w.init.append(f'self.{name} = layers.Dropout({p}, name="{name}")')
    return name


@function("embedding")
def _embedding(w: Writer, x: Value, weight: Value, padding_idx: Any = None, *_: Any, **__: Any) -> Value:
    ids, table = w.plain(x), w.made(weight)
    code = f"ops.take({table.code}, {ids.code}, axis=0)"
    if padding_idx is None:
        return w.result(code)
    return without_learning(w, code, ids, padding_idx % table.shown.first[0])


@function("interpolate")
def _interpolate(w: Writer, x: Value, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                 align_corners: Any = None, antialias: bool = False, **_: Any) -> Value:  # fmt: skip
    if antialias:
        raise w.refuse("interpolate with antialias has no correspondence")
    return resized(w, x, mode, bool(align_corners), scale_factor)

"""Functions that exporters take apart, recognised at their last node; what stays unread of them is left out."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from onnxpress.export.port.from_onnx.reader import Reading, Val
from onnxpress.export.port.steps import Ref

_CLOSE = 1e-4


def _is(value: Any, number: float) -> bool:
    return isinstance(value, int | float) and math.isclose(value, number, rel_tol=_CLOSE)


def _step_of(r: Reading, value: Any, *names: str) -> Any:
    """The step of one of these functions that the value is computed by."""
    step = r.step(value) if isinstance(value, Val) else (r.steps[value.number] if isinstance(value, Ref) else None)
    return step if step is not None and step.kind == "function" and step.name in names else None


def _with_number(r: Reading, value: Any, name: str, number: float) -> Any:
    """The other operand, where the value is `name` of something and this number."""
    step = _step_of(r, value, name)
    if step is None or len(step.args) != 2:
        return None
    a, b = step.args
    if _is(b, number):
        return a
    return b if name in ("add", "mul") and _is(a, number) else None


def _factors(r: Reading, value: Any, found: list[Any], depth: int = 0) -> None:
    """What a product of products is made of, numbers too."""
    step = _step_of(r, value, "mul") if depth < 4 else None
    if step is None:
        found.append(Ref(value.ref.number) if isinstance(value, Val) and value.ref is not None else value)
        return
    for arg in step.args:
        _factors(r, arg, found, depth + 1)


def gelu(r: Reading) -> Val | None:
    """½ · x · (1 + erf(x / √2)), in whichever order, or its form by tanh."""
    found: list[Any] = []
    for name in r.node.input:
        value = r.values[name]
        _factors(r, value.const.item() if value.const is not None and value.const.size == 1 else value, found)
    numbers = [v for v in found if isinstance(v, int | float)]
    refs = [v for v in found if isinstance(v, Ref)]
    if len(refs) != 2 or len(found) != len(numbers) + 2 or not _is(math.prod(numbers), 0.5):
        return None
    for x, other in (refs, refs[::-1]):
        inner = _with_number(r, other, "add", 1.0)
        erf, tanh = _step_of(r, inner, "erf"), _step_of(r, inner, "tanh")
        if erf is not None and x in (
            _with_number(r, erf.args[0], "div", math.sqrt(2)),
            _with_number(r, erf.args[0], "mul", math.sqrt(0.5)),
        ):
            return r.call("gelu", r.made[x.number])
        if tanh is not None and _is_tanh_form(r, tanh.args[0], x):
            return r.call("gelu", r.made[x.number], approximate="tanh")
    return None


def _is_tanh_form(r: Reading, value: Any, x: Ref) -> bool:
    """√(2/π) · (x + 0.044715 · x³)."""
    inner = _step_of(r, _with_number(r, value, "mul", math.sqrt(2 / math.pi)), "add")
    if inner is None or x not in inner.args:
        return False
    other = inner.args[1] if inner.args[0] == x else inner.args[0]
    found: list[Any] = []
    _factors(r, other, found)
    numbers = [v for v in found if isinstance(v, int | float)]
    refs = [v for v in found if isinstance(v, Ref)]
    if not _is(math.prod(numbers), 0.044715):
        return False
    return refs == [x, x, x] or (len(refs) == 1 and _with_number(r, refs[0], "pow", 3) == x)


def silu(r: Reading, a: Val, b: Val) -> Val | None:
    """x · sigmoid(x)."""
    for x, other in ((a, b), (b, a)):
        step = _step_of(r, other, "sigmoid")
        if step is not None and x.ref is not None and step.args == (x.ref,):
            return r.call("silu", x)
        inner = _step_of(r, _step_of(r, other, "tanh").args[0], "softplus") if _step_of(r, other, "tanh") else None
        if inner is not None and x.ref is not None and inner.args == (x.ref,):
            return r.call("mish", x)
    return None


def layer_norm(r: Reading, a: Val, b: Val) -> Val | None:
    """(x − mean) / √(variance + ε) · weight + bias, over the last axes."""
    for product, bias in ((a, b), (b, a)):
        if bias.const is None or product.ref is None:
            continue
        step = _step_of(r, product, "mul")
        if step is None:
            continue
        for one, weight in (step.args, step.args[::-1]):
            if not (isinstance(one, Ref) and isinstance(weight, Ref)) or r.steps[weight.number].kind != "parameter":
                continue
            found = _normed(r, one)
            scale = r.made[weight.number]
            if found is None or scale.const is None or scale.const.shape != bias.const.shape:
                continue
            x, rank, epsilon = found
            shape = tuple(int(n) for n in x.first.shape[-rank:])
            if scale.const.shape != shape:
                continue
            r.names.release(scale.label)
            return r.placed(
                "norm", nn.LayerNorm(shape, eps=epsilon), {"weight": (scale, None), "bias": (bias, None)}, x
            )
    return None


def _normed(r: Reading, value: Ref) -> tuple[Val, int, float] | None:
    """x, over how many last axes, and ε, of (x − mean) / √(variance + ε)."""
    step = _step_of(r, value, "div", "mul")
    if step is None or not all(isinstance(arg, Ref) for arg in step.args):
        return None
    pairs = [step.args] if step.name == "div" else [step.args, step.args[::-1]]
    for centred, root in pairs:
        if step.name == "mul":
            inverse = _step_of(r, root, "reciprocal")
            root = inverse.args[0] if inverse is not None else None
        difference, square_root = _step_of(r, centred, "sub"), _step_of(r, root, "sqrt")
        if difference is None or square_root is None:
            continue
        mean = _step_of(r, difference.args[1], "mean")
        sum_ = _step_of(r, square_root.args[0], "add")
        if mean is None or sum_ is None or mean.args[0] != difference.args[0] or not isinstance(sum_.args[1], float):
            continue
        variance = _step_of(r, sum_.args[0], "mean")
        squared = _step_of(r, variance.args[0], "pow", "mul") if variance is not None else None
        if squared is None or squared.args[0] != centred or squared.args[1] not in (centred, 2, 2.0):
            continue
        x = r.made[difference.args[0].number]
        dims = mean.kwargs["dim"]
        axes = tuple(axis % x.rank for axis in (dims if isinstance(dims, tuple) else (dims,)))
        if mean.kwargs != variance.kwargs or axes != tuple(range(x.rank - len(axes), x.rank)):
            continue
        if not mean.kwargs.get("keepdim"):
            continue
        return x, len(axes), float(f"{sum_.args[1]:.6g}")
    return None


def attention(r: Reading, weights: Val, value: Val) -> Val | None:
    """softmax(q · kᵀ · scale + mask) · v, the weights read by nothing else."""
    softmax = _step_of(r, weights, "softmax")
    if softmax is None or value.ref is None or weights.rank < 3 or softmax.kwargs.get("dim") != -1:
        return None
    if any(r.uses.get(name, 0) != 1 for name in r.node.input[:1]):
        return None
    scores, mask = softmax.args[0], None
    added = _step_of(r, scores, "add")
    if added is not None:
        ends = [(s, m) for s, m in (added.args, added.args[::-1]) if _scaled(r, s) is not None]
        if len(ends) != 1 or not isinstance(ends[0][1], Ref):
            return None
        scores, mask = ends[0]
    found = _scaled(r, scores)
    if found is None:
        return None
    query, key, scale = found
    width = int(query.first.shape[-1])
    given: dict[str, Any] = {}
    if mask is not None:
        hides = r.made[mask.number]
        if hides.const is None and any(bool((value == -math.inf).any()) for value in hides.pair):
            return None  # of a row that is hidden altogether the graph answers no number, and torch's function zeros
        given["attn_mask"] = hides
    if not math.isclose(scale, width**-0.5, rel_tol=1e-5):
        given["scale"] = scale
    return r.call("scaled_dot_product_attention", query, key, value, **given)


def _scaled(r: Reading, value: Any) -> tuple[Val, Val, float] | None:
    """q, k and the number that q · kᵀ is multiplied by, wherever the exporter multiplies."""
    scale = 1.0
    value, factor = _without_number(r, value)
    scale *= factor
    step = _step_of(r, value, "matmul")
    if step is None or not all(isinstance(arg, Ref) for arg in step.args):
        return None
    (query, before), (key, behind) = (_without_number(r, arg) for arg in step.args)
    scale *= before * behind
    turned = _step_of(r, key, "permute", "transpose")
    if turned is None:
        return None
    rank = r.made[key.number].rank
    perm = list(turned.args[1]) if turned.name == "permute" else None
    if perm is None or rank < 3:
        return None
    swapped = [*perm[:-2], perm[-1], perm[-2]]
    source = r.made[turned.args[0].number]
    found = source if swapped == list(range(rank)) else r.call("permute", source, tuple(swapped))
    return r.made[query.number], found, scale


def _without_number(r: Reading, value: Any) -> tuple[Any, float]:
    step = _step_of(r, value, "mul", "div")
    if step is None or len(step.args) != 2:
        return value, 1.0
    a, b = step.args
    if isinstance(b, int | float):
        return a, (float(b) if step.name == "mul" else 1.0 / b)
    if step.name == "mul" and isinstance(a, int | float):
        return b, float(a)
    return value, 1.0

"""Multi-head attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxpress.core.arrays import Array
from onnxpress.export.port.code import literal
from onnxpress.export.port.layout import Value, identity
from onnxpress.export.port.to_keras.making import (
    add,
    make,
    register,
)
from onnxpress.export.port.to_keras.writer import Writer


@register("MultiheadAttention")
def _multihead(w: Writer, module: Any, query: Value, key: Value, value: Value, key_padding_mask: Any = None,
               need_weights: bool = True, attn_mask: Any = None, average_attn_weights: bool = True,
               is_causal: bool = False) -> Value:  # fmt: skip
    if module.bias_k is not None or module.add_zero_attn or module.in_proj_weight is None:
        raise w.refuse("attention with bias_k, add_zero_attn or sizes of its own for keys has no correspondence")
    perm = (0, 1, 2) if module.batch_first else (1, 0, 2)
    q, k, v = (w.in_layout(w.settle(w.made(part)), perm, "rows, time, features") for part in (query, key, value))
    heads, width = module.num_heads, module.head_dim
    bias = module.in_proj_bias is not None
    options: dict[str, Any] = {
        "dropout": literal(float(module.dropout)) if module.dropout else None,
        "use_bias": None if bias else "False",
    }
    made = make(w, module, f"MultiHeadAttention({heads}, {width})", **options)
    size = module.embed_dim
    for n, part in enumerate(("query", "key", "value")):
        cut = _part(n, size, heads)
        made.weight(f"_{part}_dense.kernel", "in_proj_weight", cut)
        if bias:
            made.weight(f"_{part}_dense.bias", "in_proj_bias", cut)
    made.weight("_output_dense.kernel", "out_proj.weight", lambda a: a.T.reshape(heads, width, size))
    if bias:
        made.weight("_output_dense.bias", "out_proj.bias")
    called = [q.code, v.code]
    if k.code != v.code:
        called.append(f"key={k.code}")
    masks = []
    for mask, is_padding in ((key_padding_mask, True), (attn_mask, False)):
        if mask is None:
            continue
        mask = w.plain(w.made(mask))
        if mask.shown.dtype != "bool" and not mask.shown.hides:
            raise w.refuse("a mask of numbers has no correspondence", "give a mask of truth values")
        seen = f"ops.logical_not({mask.code})" if mask.shown.dtype == "bool" else f"({mask.code} == 0)"
        if is_padding:
            masks.append(f"{seen}[:, None, :]")
        elif mask.rank == 2:
            masks.append(f"{seen}[None, :, :]")
        else:
            raise w.refuse("a mask for each head has no correspondence")
    if masks:
        name = w.fresh("seen")
        alone = masks[0].removeprefix("(").removesuffix(")") if masks[0].endswith("== 0)") else masks[0]
        w.lines.append(f"{name} = {alone if len(masks) == 1 else f'ops.logical_and({masks[0]}, {masks[1]})'}")
        called.append(f"attention_mask={name}")
    elif is_causal:
        called.append("use_causal_mask=True")
    shown = w.step.shown
    if w.is_second_read():
        called.append("return_attention_scores=True")
        names = [w.fresh(n) for n in ("x", "scores")]
        w.lines.append(f"{', '.join(names)} = {add(w, w.step, made)}({', '.join(called)})")
        code = f"ops.mean({names[1]}, axis=1)" if average_attn_weights else names[1]
        weights = Value(code, shown[1], identity(shown[1].rank))
        return Value("", shown, parts=[Value(names[0], shown[0], perm), weights])
    code = f"{add(w, w.step, made)}({', '.join(called)})"
    return Value(code, shown, parts=[Value(code, shown[0], perm), Value("")])


def _part(number: int, size: int, heads: int) -> Callable[[Array], Array]:
    """Of the kernel, or the bias, that torch has of three parts: one of them, its heads apart."""

    def cut(a: Array) -> Array:
        found: Array = a[number * size : (number + 1) * size].T.reshape(*a.shape[1:], heads, size // heads)
        return found

    return cut

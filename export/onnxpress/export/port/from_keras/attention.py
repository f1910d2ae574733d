"""Attention: of several heads as a block of linear layers, and Keras's plain ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.masks import mask_of
from onnxpress.export.port.from_keras.registry import layer
from onnxpress.export.port.from_keras.starts import start
from onnxpress.export.port.from_keras.values import Value
from onnxpress.export.port.steps import Ref

_NEVER = -1e9
"""what Keras puts at places that a mask hides"""


@layer("MultiHeadAttention")
def _multi_head(w: Builder, keras_layer: Any, query: Value, value: Value, key: Value | None = None,
                attention_mask: Value | None = None, return_attention_scores: bool = False,
                use_causal_mask: bool = False, query_mask: Any = None, value_mask: Value | None = None,
                key_mask: Value | None = None) -> Any:  # fmt: skip
    """Keras takes `query_mask` from the query alone, whatever its caller gives."""
    q, k, v = query, value if key is None else key, value
    if any(one.rank != 3 for one in (q, k, v)):
        raise w.refuse("attention over other tensors than (rows, time, features) has no correspondence")
    if getattr(keras_layer, "_use_gate", False) or getattr(keras_layer, "_sliding_window", None):
        raise w.refuse("attention with a gate or a sliding window has no correspondence")
    masks = _masks(w, q, k if key is not None else None, v, attention_mask, (value_mask, key_mask))
    q, k, v = (w.plain(w.made(one), "rows, time, features") for one in (q, k, v))
    distinct = list({one.ref.number: one for one in (q, k, v)}.values())
    given = [*distinct, *([masks] if masks is not None else [])]
    path = w.paths.get((id(keras_layer), ""))
    if path is None:
        w.own(keras_layer)
        path = w.free(w.name_of(keras_layer))
        inner = Builder(w.shared, f"{w.path}{path}.", "MultiHeadAttention", str(keras_layer.name))
        names = {1: ["x"], 2: ["query", "value"], 3: ["query", "key", "value"]}[len(distinct)]
        names = [*names, *(["seen"] if masks is not None else [])]
        fresh = [inner.input(n, w.pairs[one.ref.number], one.perm) for n, one in zip(names, given, strict=True)]
        by = {one.ref.number: f for one, f in zip(given, fresh, strict=True)}
        parts = [by[one.ref.number] for one in (q, k, v)]
        seen = by[masks.ref.number] if masks is not None else None
        found = _heads(inner, keras_layer, parts, seen, use_causal_mask, scores=return_attention_scores)
        w.children[path] = inner.block(found)
        w.owner.add_module(path, inner.owner)
        w.paths[(id(keras_layer), "")] = path
    number = w.step("block", path, tuple(given))
    if not return_attention_scores:
        answer = w.value(number)
        answer.mask = query.mask
        return answer
    return [w.value(w.step("function", "getitem", (Ref(number), n))) for n in (0, 1)]


def _masks(w: Builder, q: Value, k: Value | None, v: Value, given: Value | None,
           told: tuple[Value | None, Value | None] = (None, None)) -> Value | None:  # fmt: skip
    """(rows, queries, keys) of truth values: what is seen. `told`: masks of values and keys that the call gives."""
    masks = []
    if (of_query := mask_of(w, q)) is not None:
        masks.append(w.function("unsqueeze", of_query, -1))
    of_keys = [
        mask if mask is not None else None if one is None else mask_of(w, one)
        for one, mask in zip((v, k), told, strict=True)
    ]
    masks += [w.function("unsqueeze", mask, 1) for mask in of_keys if mask is not None]
    if given is not None:
        given = w.plain(w.made(given))
        if given.rank != 3:
            raise w.refuse("an attention mask for each head has no correspondence")
        masks.append(given if given.dtype == "bool" else w.function("ne", given, 0))
    found = None
    for mask in masks:
        found = mask if found is None else w.function("logical_and", found, mask)
    return found


def _heads(w: Builder, keras_layer: Any, parts: list[Value], seen: Value | None, causal: bool, *, scores: bool) -> Any:
    heads = keras_layer.num_heads
    made = []
    for name, x, width in zip(
        ("query", "key", "value"), parts, (keras_layer.key_dim, keras_layer.key_dim, keras_layer.value_dim), strict=True
    ):
        dense = getattr(keras_layer, f"_{name}_dense")
        shape = tuple(dense.kernel.shape)
        projected = _linear(w, dense, x, shape[0], heads * width)
        apart = w.function("unflatten", projected, -1, (heads, width))
        made.append(w.function("transpose", apart, 1, 2, called=name))
    q, k, v = made
    weights = None
    if seen is None and not scores and not keras_layer.dropout:
        options: dict[str, Any] = {"is_causal": True} if causal else {}
        found = w.function("scaled_dot_product_attention", q, k, v, **options)
    else:
        product = w.function("matmul", q, w.function("transpose", k, -2, -1))
        weights = w.function("mul", product, float(keras_layer.key_dim) ** -0.5, called="scores")
        hidden = None
        if seen is not None:
            hidden = w.function("logical_not", w.function("unsqueeze", seen, 1))
        if causal:
            later = w.function("triu", w.function("ones_like", weights, dtype="torch.bool"), 1)
            hidden = later if hidden is None else w.function("logical_or", hidden, later)
        if hidden is not None:
            weights = w.function("masked_fill", weights, hidden, _NEVER)
        weights = w.function("softmax", weights, dim=-1, called="weights")
        if seen is not None and (scores or keras_layer.dropout):
            # Keras's layer fills what is hidden with zeros again; its fused attention, without dropout, does not.
            weights = w.function("masked_fill", weights, hidden, 0.0, called="weights")
        kept = weights
        if keras_layer.dropout:
            kept = w.value(w.layer(keras_layer._dropout_layer, nn.Dropout(float(keras_layer.dropout)), weights))
        found = w.function("matmul", kept, v)
    found = w.function("flatten", w.function("transpose", found, 1, 2), 2)
    dense = keras_layer._output_dense
    answer = _linear(w, dense, found, heads * keras_layer.value_dim, int(dense.kernel.shape[-1]))
    return (answer, weights) if scores else answer


def _linear(w: Builder, dense: Any, x: Value, columns: int, rows: int) -> Value:
    has_bias = dense.bias is not None
    weights: dict[str, Any] = {"weight": ([dense.kernel], lambda a: a.reshape(columns, rows).T)}
    if has_bias:
        weights["bias"] = ([dense.bias], np.ravel)
    if dense.activation is not None and dense.activation.__name__ != "linear":
        raise w.refuse("attention with an activation has no correspondence")
    if len(dense.kernel.shape) > 3:
        raise w.refuse("attention over several axes has no correspondence")
    value = w.value(w.layer(dense, nn.Linear(columns, rows, bias=has_bias), x, weights=weights))
    begins = {"weight": (dense.kernel_initializer, dense.kernel), "bias": (dense.bias_initializer, dense.bias)}
    start(w, dense, begins)
    return value


@layer("GroupedQueryAttention")
def _grouped(w: Builder, keras_layer: Any, query: Value, value: Value, key: Value | None = None,
             attention_mask: Value | None = None, return_attention_scores: bool = False,
             use_causal_mask: bool = False) -> Value:  # fmt: skip
    """A few heads of keys and values for many of queries; its parts are layers of the block that it stands in."""
    q, k, v = query, value if key is None else key, value
    masks = _masks(w, q, k if key is not None else None, v, attention_mask)
    if masks is not None or return_attention_scores or any(one.rank != 3 for one in (q, k, v)):
        raise w.refuse("GroupedQueryAttention with a mask, or its scores, has no correspondence", "MultiHeadAttention")
    if getattr(keras_layer, "_use_gate", False) or getattr(keras_layer, "_sliding_window", None):
        raise w.refuse("attention with a gate or a sliding window has no correspondence")
    if keras_layer.dropout:
        raise w.refuse("GroupedQueryAttention with dropout has no correspondence", "MultiHeadAttention")
    q, k, v = (w.plain(w.made(one), "rows, time, features") for one in (q, k, v))
    w.own(keras_layer)
    heads, few, width = keras_layer.num_query_heads, keras_layer.num_key_value_heads, keras_layer.head_dim
    made = []
    for name, x, count in (("query", q, heads), ("key", k, few), ("value", v, few)):
        dense = getattr(keras_layer, f"_{name}_dense")
        apart = w.function("unflatten", _linear(w, dense, x, int(x.shown.first[-1]), count * width), -1, (count, width))
        turned = w.function("transpose", apart, 1, 2, called=name)
        again = count < heads
        made.append(w.function("repeat_interleave", turned, heads // count, dim=1) if again else turned)
    options: dict[str, Any] = {"is_causal": True} if use_causal_mask else {}
    found = w.function("scaled_dot_product_attention", *made, **options)
    found = w.function("flatten", w.function("transpose", found, 1, 2), 2)
    dense = keras_layer._output_dense
    return _linear(w, dense, found, heads * width, int(dense.kernel.shape[-1]))


@layer("Attention", "AdditiveAttention")
def _attention(w: Builder, keras_layer: Any, inputs: Sequence[Value], return_attention_scores: bool = False,
               use_causal_mask: bool = False) -> Any:  # fmt: skip
    q, v = inputs[:2]
    k = inputs[2] if len(inputs) > 2 else v
    of_query, of_value = mask_of(w, q), mask_of(w, v)
    q, k, v = (w.plain(w.made(one), "rows, time, features") for one in (q, k, v))
    is_additive = type(keras_layer).__name__ == "AdditiveAttention"
    if not is_additive and keras_layer.score_mode != "dot":
        raise w.refuse("an attention that scores by concat has no correspondence", "AdditiveAttention has")
    if is_additive:
        total = w.function("tanh", w.function("add", w.function("unsqueeze", q, 2), w.function("unsqueeze", k, 1)))
        if keras_layer.use_scale:
            total = w.function("mul", total, w.made(w.variable(keras_layer.scale)))
        weights = w.function("sum", total, dim=-1)
    else:
        weights = w.function("matmul", q, w.function("transpose", k, -2, -1))
        if keras_layer.scale is not None:
            weights = w.function("mul", weights, w.made(w.variable(keras_layer.scale)))
    if of_value is not None:
        hidden = w.function("logical_not", w.function("unsqueeze", of_value, 1))
        weights = w.function("where", hidden, w.function("add", weights, _NEVER), weights)
    if use_causal_mask:
        later = w.function("triu", w.function("ones_like", weights, dtype="torch.bool"), 1)
        weights = w.function("where", later, w.function("add", weights, _NEVER), weights)
    weights = w.function("softmax", weights, dim=-1, called="weights")
    kept = weights
    if keras_layer.dropout:
        kept = w.value(w.layer(keras_layer, nn.Dropout(float(keras_layer.dropout)), weights, part="dropout"))
    found = w.function("matmul", kept, v)
    if of_query is not None:
        found = w.function("mul", found, w.function("unsqueeze", of_query, -1))
        found.mask = of_query
    return [found, weights] if return_attention_scores else found

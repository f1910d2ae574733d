"""What functions of `tf` are in Keras's operations: the same answer and the same gradient.

Each takes its arguments as TensorFlow does. What TensorFlow can do beside is refused by its name.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from onnxpress.export.port.refusal import NoCorrespondence

Function = Callable[..., Any]


def within(holder: Any, path: str) -> Any:
    """`math.softmax` of tf; None where there is no such function."""
    for part in path.split("."):
        holder = getattr(holder, part, None)
    return holder


def reduced(over: Function) -> Function:
    """Over axes, as TensorFlow names them."""

    def function(input_tensor: Any, axis: Any = None, keepdims: bool = False, name: Any = None) -> Any:
        return over(input_tensor, axis=axis, keepdims=keepdims)

    return function


def _unnamed(function: Function) -> Function:
    """Without TensorFlow's `name`."""

    @functools.wraps(function)
    def called(*args: Any, name: Any = None, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return called


def _only(is_known: bool, what: str) -> None:
    if not is_known:
        raise NoCorrespondence(f"{what} has no correspondence", hint="write it with keras.ops")


def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    """The product of two matrices, either of them turned first."""
    a = ops.swapaxes(a, -2, -1) if transpose_a else a
    return ops.matmul(a, ops.swapaxes(b, -2, -1) if transpose_b else b)


def _transpose(a: Any, perm: Any = None, conjugate: bool = False) -> Any:
    return ops.transpose(a, perm)


def _softmax(logits: Any, axis: Any = -1) -> Any:
    return ops.softmax(logits, axis=-1 if axis is None else axis)


def _log_softmax(logits: Any, axis: Any = -1) -> Any:
    return ops.log_softmax(logits, axis=-1 if axis is None else axis)


def _leaky_relu(features: Any, alpha: float = 0.2) -> Any:
    return ops.leaky_relu(features, alpha)


def _gelu(features: Any, approximate: bool = False) -> Any:
    return ops.gelu(features, approximate)


def _swish(features: Any, beta: float = 1.0) -> Any:
    return ops.silu(features) if beta == 1.0 else features * ops.sigmoid(beta * features)


def _concat(values: Any, axis: int) -> Any:
    return ops.concatenate(values, axis)


def squeeze(input: Any, axis: Any = None) -> Any:  # noqa: A002
    """Without axes of 1."""
    return ops.squeeze(input, axis)


def _split(value: Any, num_or_size_splits: Any, axis: int = 0) -> Any:
    if isinstance(num_or_size_splits, int):
        return ops.split(value, num_or_size_splits, axis)
    cuts = [sum(num_or_size_splits[: n + 1]) for n in range(len(num_or_size_splits) - 1)]
    return ops.split(value, cuts, axis)


def _unstack(value: Any, num: Any = None, axis: int = 0) -> Any:
    return ops.unstack(value, num, axis)


def shape(input: Any, out_type: Any = None) -> Any:  # noqa: A002
    """Numbers: those of sizes that vary are stand-ins."""
    return tuple(input.shape)


def _rank(input: Any) -> Any:  # noqa: A002
    return len(input.shape)


def _gather(params: Any, indices: Any, axis: Any = None, batch_dims: int = 0) -> Any:
    _only(batch_dims == 0, "tf.gather with batch_dims")
    places = np.asarray(indices) if isinstance(indices, list | tuple | int) else indices
    return ops.take(params, places, axis=0 if axis is None else axis)


def _looked_up(params: Any, ids: Any, max_norm: Any = None) -> Any:
    _only(max_norm is None, "tf.nn.embedding_lookup with max_norm")
    return ops.take(params, ids, axis=0)


def _one_hot(
    indices: Any, depth: Any, on_value: Any = None, off_value: Any = None, axis: Any = None, dtype: Any = None
) -> Any:
    _only(on_value in (None, 1) and off_value in (None, 0), "tf.one_hot of other values than 0 and 1")
    return ops.one_hot(indices, int(depth), axis=-1 if axis is None else axis, dtype=dtype or "float32")


def _placed(over: Function) -> Function:
    def function(input: Any, axis: Any = None, output_type: Any = "int64") -> Any:  # noqa: A002
        return ops.cast(over(input, axis=0 if axis is None else axis), output_type)

    return function


def _clipped(t: Any, clip_value_min: Any, clip_value_max: Any) -> Any:
    if isinstance(clip_value_min, int | float) and isinstance(clip_value_max, int | float):
        return ops.clip(t, clip_value_min, clip_value_max)
    return ops.minimum(ops.maximum(t, clip_value_min), clip_value_max)


def _repeat(input: Any, repeats: Any, axis: Any = None) -> Any:  # noqa: A002
    return ops.repeat(input, repeats, axis=axis)


def _reversed(tensor: Any, axis: Any) -> Any:
    return ops.flip(tensor, axis=tuple(axis) if isinstance(axis, list | tuple) else axis)


def _rolled(input: Any, shift: Any, axis: Any) -> Any:  # noqa: A002
    return ops.roll(input, shift, axis=axis)


def _cumsum(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Any:
    _only(not exclusive and not reverse, "tf.cumsum that is exclusive or reversed")
    return ops.cumsum(x, axis=axis)


def _added(inputs: Sequence[Any]) -> Any:
    return functools.reduce(ops.add, inputs)


def _clear(x: Any, *args: Any, **kwargs: Any) -> Any:
    return x


def _converted(value: Any, dtype: Any = None, dtype_hint: Any = None) -> Any:
    if isinstance(value, list | tuple):
        value = ops.stack(value)
    return value if dtype is None else ops.cast(value, dtype)


def _sliced(input_: Any, begin: Any, size: Any) -> Any:
    cuts = zip(begin, size, strict=True)
    return input_[tuple(slice(b, None if length == -1 else b + length) for b, length in cuts)]


def _pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Any:
    mode = mode.lower()
    return ops.pad(tensor, paddings, mode, constant_values if mode == "constant" and constant_values else None)


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    _only(x is not None and y is not None, "tf.where of a condition alone")
    return ops.where(condition, x, y)


def l2_normalized(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
    """Divided by the root of the sum of squares, which is at least `epsilon`."""
    total = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(total, epsilon))


def _norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: Any = None) -> Any:  # noqa: A002
    _only(ord in ("euclidean", 2) and (ord == "euclidean" or not isinstance(axis, tuple | list)), f"tf.norm of {ord}")
    return ops.sqrt(ops.sum(ops.square(tensor), axis=axis, keepdims=bool(keepdims)))


def _moments(x: Any, axes: Any, shift: Any = None, keepdims: bool = False) -> Any:
    axes = list(axes) if isinstance(axes, list | tuple) else axes
    return ops.mean(x, axis=axes, keepdims=keepdims), ops.var(x, axis=axes, keepdims=keepdims)


def _batch_normalized(x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: float) -> Any:
    inverse = ops.rsqrt(variance + variance_epsilon)
    inverse = inverse if scale is None else inverse * scale
    return x * inverse + (-mean * inverse if offset is None else offset - mean * inverse)


def _without_nan(x: Any, y: Any) -> Any:
    is_zero = ops.equal(y, 0)
    return ops.where(is_zero, ops.zeros_like(x), x / ops.where(is_zero, ops.ones_like(y), y))


def _band(input: Any, num_lower: Any, num_upper: Any) -> Any:  # noqa: A002
    _only((num_lower, num_upper) in ((-1, 0), (0, -1)), f"tf.linalg.band_part of {num_lower} and {num_upper}")
    return ops.tril(input) if num_lower else ops.triu(input)


def _matvec(a: Any, b: Any, transpose_a: bool = False) -> Any:
    return ops.squeeze(matmul(a, ops.expand_dims(b, -1), transpose_a), -1)


def _wide_to_space(input: Any, block_size: int, data_format: str = "NHWC") -> Any:  # noqa: A002
    _only(data_format == "NHWC", f"tf.nn.depth_to_space of {data_format}")
    (_, tall, wide, depth), b = input.shape, block_size
    x = ops.reshape(input, (-1, tall, wide, b, b, depth // b**2))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, tall * b, wide * b, depth // b**2))


def _space_to_wide(input: Any, block_size: int, data_format: str = "NHWC") -> Any:  # noqa: A002
    _only(data_format == "NHWC", f"tf.nn.space_to_depth of {data_format}")
    (_, tall, wide, depth), b = input.shape, block_size
    x = ops.reshape(input, (-1, tall // b, b, wide // b, b, depth))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, tall // b, wide // b, depth * b**2))


def _patches(images: Any, sizes: Any, strides: Any, rates: Any, padding: str) -> Any:
    return ops.image.extract_patches(images, tuple(sizes[1:3]), tuple(strides[1:3]), rates[1], padding.lower())


def _resized(images: Any, size: Any, method: str = "bilinear", preserve_aspect_ratio: bool = False,
             antialias: bool = False) -> Any:  # fmt: skip
    _only(not preserve_aspect_ratio, "tf.image.resize with preserve_aspect_ratio")
    return ops.image.resize(images, tuple(size), interpolation=method, antialias=antialias)


PLAIN = (
    "abs", "add", "cast", "cos", "cosh", "divide", "einsum", "equal", "exp", "expand_dims", "floor", "greater",
    "greater_equal", "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "maximum",
    "minimum", "multiply", "not_equal", "ones_like", "reshape", "round", "sigmoid", "sign", "sin", "sinh", "sqrt",
    "square", "stack", "stop_gradient", "subtract", "tan", "tanh", "tensordot", "zeros_like", "broadcast_to",
    "squared_difference",
)  # fmt: skip
"""of tf and of tf.math, called there as in keras.ops"""
_OF_MATH = ("ceil", "erf", "erfinv", "expm1", "floor", "log", "log1p", "rsqrt", "softplus", "softsign")
"""of tf.math alone"""
_REDUCED = {
    "reduce_sum": ops.sum, "reduce_mean": ops.mean, "reduce_max": ops.max, "reduce_min": ops.min,
    "reduce_prod": ops.prod, "reduce_any": ops.any, "reduce_all": ops.all, "reduce_logsumexp": ops.logsumexp,
    "reduce_std": ops.std, "reduce_variance": ops.var,
}  # fmt: skip
_OF_TF: dict[str, Function] = {
    "matmul": matmul, "transpose": _transpose, "concat": _concat, "squeeze": squeeze, "split": _split,
    "unstack": _unstack, "shape": shape, "rank": _rank, "pow": ops.power, "identity": _clear, "tile": ops.tile,
    "pad": _pad, "where": _where, "gather": _gather, "one_hot": _one_hot, "argmax": _placed(ops.argmax),
    "argmin": _placed(ops.argmin), "clip_by_value": _clipped, "repeat": _repeat, "reverse": _reversed,
    "roll": _rolled, "cumsum": _cumsum, "add_n": _added, "convert_to_tensor": _converted, "slice": _sliced,
    "norm": _norm, "ensure_shape": _clear,
}  # fmt: skip
_OF_NN: dict[str, Function] = {
    "softmax": _softmax, "log_softmax": _log_softmax, "leaky_relu": _leaky_relu, "gelu": _gelu, "relu": ops.relu,
    "relu6": ops.relu6, "elu": ops.elu, "selu": ops.selu, "sigmoid": ops.sigmoid, "tanh": ops.tanh,
    "softplus": ops.softplus, "silu": _swish, "swish": _swish, "softsign": ops.softsign, "moments": _moments,
    "l2_normalize": l2_normalized, "bias_add": ops.add, "batch_normalization": _batch_normalized,
    "embedding_lookup": _looked_up, "depth_to_space": _wide_to_space, "space_to_depth": _space_to_wide,
}  # fmt: skip


def _everywhere() -> dict[str, Function]:
    plain = {name: getattr(ops, name) for name in PLAIN if hasattr(ops, name)}
    plain |= {"squared_difference": lambda x, y: ops.square(x - y)}
    shared = plain | {name: reduced(over) for name, over in _REDUCED.items()}
    math_too = ("pow", "argmax", "argmin", "cumsum", "add_n")
    found = shared | _OF_TF
    found |= {f"math.{name}": one for name, one in shared.items()}
    found |= {f"math.{name}": getattr(ops, name) for name in _OF_MATH}
    found |= {f"math.{name}": _OF_TF[name] for name in math_too}
    found |= {"math.divide_no_nan": _without_nan, "math.l2_normalize": l2_normalized, "math.softmax": _softmax}
    found |= {"math.log_softmax": _log_softmax, "math.log_sigmoid": ops.log_sigmoid}
    found |= {f"nn.{name}": one for name, one in _OF_NN.items()}
    found |= {"linalg.matmul": matmul, "linalg.band_part": _band, "linalg.norm": _norm, "linalg.matvec": _matvec}
    found |= {"linalg.l2_normalize": l2_normalized, "linalg.matrix_transpose": lambda a: ops.swapaxes(a, -2, -1)}
    found |= {"image.extract_patches": _patches, "image.resize": _resized}
    return {name: _unnamed(one) for name, one in found.items() if within(tf, name) is not None}


OF_TENSORFLOW = _everywhere()
"""the name below `tf` → the same in Keras's operations"""
RANDOM = ("normal", "uniform", "truncated_normal", "gamma", "poisson", "shuffle", "categorical", "beta", "binomial",
          "randint", "dropout")  # fmt: skip
"""of tf.random and of keras.random"""


# --- the older backend, `tf.keras.backend`


def _dot(x: Any, y: Any) -> Any:
    return ops.matmul(x, y) if len(y.shape) == 2 else ops.tensordot(x, y, axes=[[len(x.shape) - 1], [len(y.shape) - 2]])


def _batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    ranks = len(x.shape), len(y.shape)
    _only(max(ranks) <= 4 and min(ranks) >= 2, "batch_dot of these ranks")
    if axes is None:
        axes = (ranks[0] - 1, ranks[1] - 1 if ranks[1] == 2 else ranks[1] - 2)
    axes = (axes, axes) if isinstance(axes, int) else tuple(axes)
    a, b = axes[0] % ranks[0], axes[1] % ranks[1]
    first, second = list("zabc"[: ranks[0]]), list("zdef"[: ranks[1]])
    second[b] = first[a]
    rest = [n for k, n in enumerate(first) if k not in (0, a)] + [n for k, n in enumerate(second) if k not in (0, b)]
    found = ops.einsum(f"{''.join(first)},{''.join(second)}->z{''.join(rest)}", x, y)
    return found if rest else ops.expand_dims(found, -1)


def _backend_relu(x: Any, alpha: float = 0.0, max_value: Any = None, threshold: float = 0.0) -> Any:
    _only(threshold == 0 and (max_value is None or not alpha), "relu of the backend with these arguments")
    if alpha:
        return ops.leaky_relu(x, alpha)
    return ops.relu(x) if max_value is None else ops.clip(x, 0.0, float(max_value))


def _over(over: Function) -> Function:
    return lambda x, axis=None, keepdims=False: over(x, axis=axis, keepdims=keepdims)


def _batch_flat(x: Any) -> Any:
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))


OF_BACKEND: dict[str, Function] = {
    **{name: getattr(ops, name) for name in (
        "abs", "cast", "clip", "cos", "elu", "equal", "exp", "greater", "greater_equal", "less", "less_equal", "log",
        "maximum", "minimum", "not_equal", "ones_like", "reshape", "round", "sigmoid", "sign", "sin", "softplus",
        "softsign", "square", "stop_gradient", "tanh", "zeros_like")},
    **{name: _over(getattr(ops, name)) for name in ("all", "any", "max", "mean", "min", "prod", "std", "sum", "var")},
    "argmax": lambda x, axis=-1: ops.cast(ops.argmax(x, axis=axis), "int64"),
    "batch_dot": _batch_dot, "batch_flatten": _batch_flat, "bias_add": lambda x, bias: ops.add(x, bias),
    "concatenate": lambda tensors, axis=-1: ops.concatenate(tensors, axis),
    "cumsum": lambda x, axis=0: ops.cumsum(x, axis=axis), "dot": _dot,
    "expand_dims": lambda x, axis=-1: ops.expand_dims(x, axis),
    "gather": lambda reference, indices: ops.take(reference, indices, axis=0),
    "hard_sigmoid": lambda x: ops.clip(0.2 * x + 0.5, 0.0, 1.0), "int_shape": shape, "l2_normalize": l2_normalized,
    "ndim": _rank, "one_hot": lambda indices, num_classes: ops.one_hot(indices, num_classes),
    "permute_dimensions": _transpose, "pow": lambda x, a: ops.power(x, a), "relu": _backend_relu,
    "repeat": lambda x, n: ops.repeat(ops.expand_dims(x, 1), n, axis=1),
    "repeat_elements": lambda x, rep, axis: ops.repeat(x, rep, axis=axis), "reverse": _reversed,
    "shape": shape, "softmax": lambda x, axis=-1: ops.softmax(x, axis=axis),
    "sqrt": lambda x: ops.sqrt(ops.maximum(x, 0.0)), "squeeze": lambda x, axis: ops.squeeze(x, axis),
    "stack": lambda x, axis=0: ops.stack(x, axis), "tile": lambda x, n: ops.tile(x, n), "transpose": _transpose,
}  # fmt: skip
"""the name below `tf.keras.backend` → the same"""

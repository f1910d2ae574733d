"""Norms, dropout and activations."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.code import literal
from onnxpress.export.port.layout import Value, identity
from onnxpress.export.port.to_keras.making import (
    called,
    frozen,
    make,
    register,
    spatial,
)
from onnxpress.export.port.to_keras.registry import FUNCTIONS
from onnxpress.export.port.to_keras.writer import Made, Writer

_ACTIVATIONS = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "SiLU": "silu", "Mish": "mish", "SELU": "selu", "CELU": "celu",
    "Hardswish": "hard_swish", "Hardsigmoid": "hard_sigmoid", "Softplus": "softplus", "Softsign": "softsign",
    "Tanhshrink": "tanh_shrink", "LogSigmoid": "log_sigmoid", "Hardtanh": "hard_tanh",
}  # fmt: skip


@register("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
def _batch_norm(w: Writer, module: Any, x: Value) -> Value:
    x = w.made(x)
    axis = x.place(1)
    options: dict[str, Any] = {"axis": str(axis)} if axis != x.rank - 1 else {}
    if module.running_mean is None:
        options |= {"epsilon": literal(module.eps), "affine": None if module.affine else "False"}
        return _with_statistics(w, module, x, make(w, module, "UntrackedBatchNormalization", **options))
    kind, share = "BatchNormalization", module.momentum
    if not module.track_running_stats:
        share = 0.0  # those it has stay as they are
    elif share is None:
        kind, share = "AveragedBatchNormalization", 0.0
    if kind == "BatchNormalization":
        options["momentum"] = literal(round(1 - share, 10))
    options["epsilon"] = literal(module.eps)
    if not module.affine:
        options |= {"center": "False", "scale": "False"}
    elif frozen(w, w.step.name, ["weight", "bias"]):
        if kind != "BatchNormalization":
            raise w.refuse("a frozen batch norm of a mean of all batches has no correspondence", "set momentum")
        kind = "FixedBatchNormalization"  # where Keras's frozen one also stops its statistics
    return _with_statistics(w, module, x, make(w, module, kind, **options))


def _with_statistics(w: Writer, module: Any, x: Value, made: Made) -> Value:
    """The call, with scale and offset, and the statistics that the source's keeps."""
    order = x.order
    take = (lambda a: a) if order is None else (lambda a: a[order])
    names = [("gamma", "weight"), ("beta", "bias")] if module.affine else []
    if module.running_mean is not None:
        names += [("moving_mean", "running_mean"), ("moving_variance", "running_var")]
    for keras_name, torch_name in names:
        made.weight(keras_name, torch_name, take)
    if "AveragedBatchNormalization" in made.calls[0]:
        made.weight("batches", "num_batches_tracked")
    return w.like(x, called(w, made, x))


@register("LayerNorm")
def _layer_norm(w: Writer, module: Any, x: Value) -> Value:
    x = w.made(x)
    count = len(module.normalized_shape)
    if x.perm[-count:] != identity(x.rank)[-count:]:
        x = w.plain(x, "this layer is over the last axes")
    order = x.order
    if order is not None and x.shown.first[-1] != module.normalized_shape[-1]:
        w.settle(x)
    options: dict[str, Any] = {"axis": literal(tuple(range(-count, 0)))} if count > 1 else {}
    options["epsilon"] = literal(module.eps)
    if module.weight is None:
        options |= {"center": "False", "scale": "False"}
    elif module.bias is None:
        options["center"] = "False"
    made = make(w, module, "LayerNormalization", **options)
    take = (lambda a: a) if order is None else (lambda a: a[order])
    for keras_name, torch_name in (("gamma", "weight"), ("beta", "bias")):
        if getattr(module, torch_name) is not None:
            made.weight(keras_name, torch_name, take)
    return w.like(x, called(w, made, x))


@register("GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d")
def _group_norm(w: Writer, module: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    groups = getattr(module, "num_groups", None)
    if getattr(module, "track_running_stats", False):
        return _tracked(w, module, x)
    if getattr(module, "running_mean", None) is not None:
        raise w.refuse("instance norm with statistics that it only reads has no correspondence")
    channels = getattr(module, "num_channels", None) or module.num_features
    axis = x.place(1)
    options: dict[str, Any] = {"axis": str(axis)} if axis != x.rank - 1 else {}
    options["epsilon"] = literal(module.eps)
    if not module.affine:
        options |= {"center": "False", "scale": "False"}
    made = make(w, module, f"GroupNormalization({groups or channels})", **options)
    if module.affine:
        made.weight("gamma", "weight")
        made.weight("beta", "bias")
    return w.like(x, called(w, made, x))


def _tracked(w: Writer, module: Any, x: Value) -> Value:
    """An instance norm that keeps statistics, by which it answers in inference."""
    if module.momentum is None or module.running_mean is None:
        raise w.refuse("instance norm without a momentum has no correspondence", "set momentum")
    axis = x.place(1)
    options = {"axis": str(axis)} if axis != x.rank - 1 else {}
    options |= {"momentum": literal(round(1 - module.momentum, 10)), "epsilon": literal(module.eps)}
    if not module.affine:
        options |= {"center": "False", "scale": "False"}
    elif frozen(w, w.step.name, ["weight", "bias"]):
        raise w.refuse("a frozen instance norm with statistics of its own has no correspondence")
    return _with_statistics(w, module, x, make(w, module, "TrackedInstanceNormalization", **options))


@register("Dropout", "AlphaDropout")
def _dropout(w: Writer, module: Any, x: Value) -> Value:
    return w.like(x, called(w, make(w, module, f"{type(module).__name__}({literal(float(module.p))})"), x))


@register("Dropout1d", "Dropout2d", "Dropout3d")
def _spatial_dropout(w: Writer, module: Any, x: Value) -> Value:
    rank = int(type(module).__name__[-2])
    x = spatial(w, x, rank)
    return w.like(x, called(w, make(w, module, f"SpatialDropout{rank}D({literal(float(module.p))})"), x))


@register(*_ACTIVATIONS)
def _activation(w: Writer, module: Any, x: Value) -> Value:
    kind = type(module).__name__
    if (
        getattr(module, "beta", 1) != 1
        or getattr(module, "alpha", 1.0) != 1.0
        or (kind == "Hardtanh" and (module.min_val, module.max_val) != (-1, 1))
    ):
        raise w.refuse(f"{kind} with other constants has no correspondence")
    return w.like(x, called(w, make(w, module, f'Activation("{_ACTIVATIONS[kind]}")'), x))


@register("ReLU", "ReLU6", "ELU", "LeakyReLU", "GELU")
def _rectified(w: Writer, module: Any, x: Value) -> Value:
    kind = type(module).__name__
    if kind == "GELU":
        if module.approximate == "none":
            return w.like(x, called(w, make(w, module, 'Activation("gelu")'), x))
        w.shared.helpers.add("tanh_gelu")
        return w.like(x, called(w, make(w, module, "Activation(tanh_gelu)"), x))
    text = {"ReLU": "ReLU", "ReLU6": "ReLU(max_value=6.0)"}.get(kind)
    if kind == "ELU":
        text = f"ELU(alpha={literal(float(module.alpha))})"
    if kind == "LeakyReLU":
        text = f"LeakyReLU(negative_slope={literal(float(module.negative_slope))})"
    return w.like(x, called(w, make(w, module, str(text)), x))


@register("PReLU")
def _prelu(w: Writer, module: Any, x: Value) -> Value:
    x = w.settle(x)
    several = module.num_parameters > 1
    place = x.place(1) if several else None
    shared = tuple(n for n in range(1, x.rank) if n != place)
    init = f"keras.initializers.Constant({literal(0.25)})"
    made = make(w, module, "PReLU", alpha_initializer=init, shared_axes=literal(shared) if shared else None)
    shape = tuple(
        module.num_parameters if n == place else (1 if n in shared else x.sizes[x.perm[n]]) for n in range(1, x.rank)
    )
    made.weight("alpha", "weight", lambda a: a.reshape(shape))
    return w.like(x, called(w, made, x))


@register("Softmax", "LogSoftmax")
def _softmax(w: Writer, module: Any, x: Value) -> Value:
    if module.dim is None:
        raise w.refuse("a softmax that is told no axis has no correspondence", "write its dim")
    x = w.settle(x)
    place = x.place(module.dim)
    if type(module).__name__ == "LogSoftmax":
        if place == x.rank - 1:
            return w.like(x, called(w, make(w, module, 'Activation("log_softmax")'), x))
        return w.like(x, f"ops.log_softmax({x.code}, axis={place})")
    axis = None if place == x.rank - 1 else str(place)
    return w.like(x, called(w, make(w, module, "Softmax", axis=axis), x))


@register("RMSNorm")
def _rms_norm(w: Writer, module: Any, x: Value) -> Value:
    if len(module.normalized_shape) != 1:
        raise w.refuse("RMSNorm over several axes has no correspondence")
    x = w.settle(w.made(x))
    x = w.plain(x, "this layer is over the last axis") if x.perm[-1] != x.rank - 1 else x
    made = make(w, module, "RMSNormalization", epsilon=literal(_EPSILON if module.eps is None else module.eps))
    if module.weight is None:
        raise w.refuse("RMSNorm without a scale has no correspondence")
    made.weight("scale", "weight")
    return w.like(x, called(w, made, x))


_EPSILON = 2.0**-23
"""of float32, which torch takes where none is given"""


@register("GLU", "Softmin", "Softmax2d", "Threshold", "Hardshrink", "Softshrink", "CosineSimilarity")
def _as_function(w: Writer, module: Any, x: Value, other: Any = None) -> Value:
    kind = type(module).__name__
    if kind == "GLU":
        return FUNCTIONS["glu"](w, x, module.dim)
    if kind == "Softmin":
        return FUNCTIONS["softmax"](w, w.like(x, f"-{w.operand(x)}"), module.dim)
    if kind == "Softmax2d":
        return FUNCTIONS["softmax"](w, x, -3)
    if kind == "Threshold":
        return FUNCTIONS["threshold"](w, x, module.threshold, module.value)
    if kind == "CosineSimilarity":
        return FUNCTIONS["cosine_similarity"](w, x, other, module.dim, module.eps)
    return FUNCTIONS[kind.lower()](w, x, module.lambd)

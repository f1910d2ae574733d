"""Norms, dropout, and the layers that scale what comes in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.dense import same
from onnxpress.export.port.from_keras.registry import layer
from onnxpress.export.port.from_keras.starts import start
from onnxpress.export.port.from_keras.values import Value
from onnxpress.export.port.layout import identity
from onnxpress.export.port.own_layers import GaussianDropout, GaussianNoise


def _affine(w: Builder, keras_layer: Any, module: nn.Module, take: Any = same) -> dict[str, Any]:
    """gamma and beta; the one that Keras has not stays at 1 or 0 and does not learn."""
    weights: dict[str, Any] = {}
    for name, has, variable in (("weight", "scale", "gamma"), ("bias", "center", "beta")):
        if getattr(keras_layer, has):
            weights[name] = ([getattr(keras_layer, variable)], take)
        elif (held := getattr(module, name, None)) is not None:
            held.requires_grad_(False)
    return weights


def _begins(keras_layer: Any) -> dict[str, Any]:
    """What does not begin at 1 and 0, as torch's norms do."""
    found = {}
    if keras_layer.scale and type(keras_layer.gamma_initializer).__name__ != "Ones":
        found["weight"] = (keras_layer.gamma_initializer, keras_layer.gamma)
    if keras_layer.center and type(keras_layer.beta_initializer).__name__ != "Zeros":
        found["bias"] = (keras_layer.beta_initializer, keras_layer.beta)
    return found


def _with_second(w: Builder, x: Value, axis: int) -> Value:
    """The value with its channels, which are Keras's `axis`, second."""
    if x.place(axis) == 1:
        return x
    rest = [a for a in range(x.rank) if a not in (0, axis)]
    return w.in_layout(x, (0, axis, *rest), "channels first, as this layer has them")


@layer("BatchNormalization")
def _batch_norm(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.made(x)
    if x.mask is not None:
        raise w.refuse("a batch norm behind a mask has no correspondence", "Keras leaves out what is masked")
    axis = keras_layer.axis % x.rank if isinstance(keras_layer.axis, int) else keras_layer.axis[0] % x.rank
    order = x.order
    if x.rank > 2 or axis != 1:
        x = w.settle(x)
    if x.rank > 2:
        x = _with_second(w, x, axis)
    if x.rank > 5 or axis == 0:
        raise w.refuse("a batch norm over this axis, or of more than five axes, has no correspondence")
    take = same if order is None else (lambda a: a[order])
    if not keras_layer.trainable:
        return _frozen_batch_norm(w, keras_layer, x, take)
    kind = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[x.rank - 2]
    is_affine = keras_layer.scale or keras_layer.center
    module = kind(
        keras_layer.moving_mean.shape[0], eps=float(keras_layer.epsilon),
        momentum=round(1 - float(keras_layer.momentum), 10), affine=is_affine,
    )  # fmt: skip
    weights = {
        **(_affine(w, keras_layer, module, take) if is_affine else {}),
        "running_mean": ([keras_layer.moving_mean], take),
        "running_var": ([keras_layer.moving_variance], take),
    }
    found = w.value(w.layer(keras_layer, module, x, weights=weights), x.perm)
    found.order, found.made_by = x.order, x.made_by
    start(w, keras_layer, _begins(keras_layer))
    return found


def _frozen_batch_norm(w: Builder, keras_layer: Any, x: Value, take: Any) -> Value:
    """Keras's frozen one stays in inference mode, which torch's does not: a block of its own."""
    key = (id(keras_layer), "")
    around = (1,) * (x.rank - 2)
    parts = {"running_mean": keras_layer.moving_mean, "running_var": keras_layer.moving_variance}
    parts |= {"weight": keras_layer.gamma} if keras_layer.scale else {}
    parts |= {"bias": keras_layer.beta} if keras_layer.center else {}
    if key not in w.paths:
        w.own(keras_layer)
        path = w.free(w.name_of(keras_layer))
        inner = Builder(w.shared, f"{w.path}{path}.", "FrozenBatchNorm", str(keras_layer.name))
        given = inner.input("x", w.pairs[x.ref.number], identity(x.rank))
        held = {}
        for name, variable in parts.items():
            shape = (variable.shape[0], *around)
            inner.owner.register_buffer(name, torch.zeros(shape))
            inner.fill(inner.owner, name, inner.path + name, [variable], lambda a, s=shape: take(a).reshape(s))
            held[name] = inner.value(inner.step("parameter", name))
        variance = inner.function("add", held["running_var"], float(keras_layer.epsilon))
        scale = inner.function("rsqrt", variance)
        if "weight" in held:
            scale = inner.function("mul", held["weight"], scale)
        found = inner.function("mul", inner.function("sub", given, held["running_mean"]), scale)
        if "bias" in held:
            found = inner.function("add", found, held["bias"])
        w.children[path] = inner.block(found)
        w.owner.add_module(path, inner.owner)
        w.paths[key] = path
    found = w.value(w.step("block", w.paths[key], (x,)), x.perm)
    found.order, found.made_by = x.order, x.made_by
    return found


@layer("LayerNormalization")
def _layer_norm(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.made(x)
    axes = sorted(axis % x.rank for axis in np.ravel(keras_layer.axis))
    if axes != list(range(x.rank - len(axes), x.rank)):
        raise w.refuse("a layer norm over other axes than the last has no correspondence")
    if axes != [axis for axis in x.perm if axis in axes] or [x.place(a) for a in axes] != axes:
        x = w.plain(x, "this layer is over the last axes")
    order = x.order
    take = same if order is None else (lambda a: a[order])
    shape = tuple(x.shown.first[axis] for axis in axes)
    has = bool(keras_layer.scale), bool(keras_layer.center)
    module = nn.LayerNorm(shape, eps=float(keras_layer.epsilon), elementwise_affine=any(has), bias=has[1])
    found = w.value(w.layer(keras_layer, module, x, weights=_affine(w, keras_layer, module, take)), x.perm)
    found.order, found.made_by = x.order, x.made_by
    start(w, keras_layer, _begins(keras_layer))
    return found


@layer("RMSNormalization")
def _rms_norm(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    if list(np.ravel(keras_layer.axis)) not in ([-1], [x.rank - 1]):
        raise w.refuse("an RMS norm over other axes than the last has no correspondence")
    if x.place(-1) != x.rank - 1:
        x = w.plain(x, "this layer is over the last axis")
    module = nn.RMSNorm(x.shown.first[-1], eps=float(keras_layer.epsilon))
    return w.value(w.layer(keras_layer, module, x, weights={"weight": ([keras_layer.scale], same)}), x.perm)


@layer("GroupNormalization")
def _group_norm(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    axis = keras_layer.axis % x.rank
    x = _with_second(w, x, axis)
    channels = x.shown.first[axis]
    groups = channels if keras_layer.groups == -1 else keras_layer.groups
    is_affine = keras_layer.scale or keras_layer.center
    module = nn.GroupNorm(groups, channels, eps=float(keras_layer.epsilon), affine=is_affine)
    weights = _affine(w, keras_layer, module) if is_affine else {}
    found = w.value(w.layer(keras_layer, module, x, weights=weights), x.perm)
    start(w, keras_layer, _begins(keras_layer))
    return found


@layer("UnitNormalization")
def _unit_norm(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    axes = np.ravel(keras_layer.axis)
    if len(axes) != 1:
        raise w.refuse("a unit norm over several axes has no correspondence")
    square = w.like(x, "sum", w.like(x, "square", x), dim=x.written_place(int(axes[0])), keepdim=True)
    return w.like(x, "mul", x, w.like(x, "rsqrt", w.like(x, "clamp", square, min=1e-12)))


@layer("Dropout", "AlphaDropout")
def _dropout(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.made(x)
    if not keras_layer.rate:
        return x
    module = (nn.Dropout if type(keras_layer).__name__ == "Dropout" else nn.AlphaDropout)(float(keras_layer.rate))
    if getattr(keras_layer, "noise_shape", None) is not None:
        if isinstance(module, nn.AlphaDropout):
            raise w.refuse("an alpha dropout with a noise_shape has no correspondence")
        return _one_draw(w, keras_layer, module, x)
    found = w.value(w.layer(keras_layer, module, x), x.perm)
    found.order, found.made_by = x.order, x.made_by
    return found


@layer("GaussianNoise", "GaussianDropout")
def _noise(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.floats(x)
    is_noise = type(keras_layer).__name__ == "GaussianNoise"
    amount = float(keras_layer.stddev if is_noise else keras_layer.rate)
    if not amount:
        return x
    found = w.value(w.layer(keras_layer, (GaussianNoise if is_noise else GaussianDropout)(amount), x), x.perm)
    found.order, found.made_by = x.order, x.made_by
    return found


def _one_draw(w: Builder, keras_layer: Any, module: nn.Module, x: Value) -> Value:
    """A dropout that draws once for all of the axes that its noise_shape calls 1: whole rows, say."""
    x = w.settle(x)
    whole = tuple(slice(1) if keras_layer.noise_shape[axis] == 1 else slice(None) for axis in x.perm)
    ones = w.function("ones_like", w.function("getitem", x, whole, perm=x.perm), perm=x.perm)
    kept = w.value(w.layer(keras_layer, module, ones), x.perm)
    return w.function("mul", x, kept, perm=x.perm)


@layer("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
def _spatial_dropout(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.settle(w.made(x))
    is_first = getattr(keras_layer, "data_format", None) == "channels_first"
    axis = 1 if is_first else x.rank - 1
    if not keras_layer.rate:
        return x
    x = _with_second(w, x, axis)
    kind = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)[x.rank - 3]
    return w.value(w.layer(keras_layer, kind(float(keras_layer.rate)), x), x.perm)


@layer("Identity", "ActivityRegularization")
def _identity(w: Builder, keras_layer: Any, x: Value) -> Value:
    if type(keras_layer).__name__ == "ActivityRegularization":
        w.shared.differences.append(f"{keras_layer.name}: what it adds to the loss is left to the training loop")
    return w.made(x)


@layer("Rescaling")
def _rescaling(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.floats(x)
    scale, offset = (_number_or_array(v) for v in (keras_layer.scale, keras_layer.offset))
    found = _scaled(w, x, "mul", scale)
    return _scaled(w, found, "add", offset)


def _number_or_array(value: Any) -> Any:
    array = np.asarray(value, np.float32)
    return float(value) if array.ndim == 0 else array


def _scaled(w: Builder, x: Value, name: str, by: Any) -> Value:
    if isinstance(by, float):
        return x if by == (1.0 if name == "mul" else 0.0) else w.like(x, name, x, by)
    (x, by), _ = w.together([x, w.variable(by)])
    return w.like(x, name, x, by)


@layer("Normalization")
def _normalization(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = w.floats(x)
    mean, variance = (np.asarray(v, np.float32) for v in (keras_layer.mean, keras_layer.variance))
    deviation = np.maximum(np.sqrt(variance), np.float32(1e-7))
    if mean.ndim == 0 or mean.size == 1:
        mean, deviation = mean.reshape(()), deviation.reshape(())
        parts: list[Any] = [x, mean.item(), deviation.item()]
    else:
        parts, _ = w.together([x, w.variable(mean, "mean"), w.variable(deviation, "deviation")])
    x = parts[0]
    if getattr(keras_layer, "invert", False):
        return w.like(x, "add", w.like(x, "mul", x, parts[2]), parts[1])
    return w.like(x, "div", w.like(x, "sub", x, parts[1]), parts[2])

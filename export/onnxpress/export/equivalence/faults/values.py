"""Faults in what a graph holds: weights, biases, constants, tables, labels, thresholds."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.faults.planting import (
    Random,
    Sites,
    attribute,
    change,
    change_input,
    floats,
    label,
    numbered,
    plants,
    set_attribute,
    taken,
)


def _one_element(array: Array, place: int, factor: float) -> Array:
    array.reshape(-1)[place] *= factor
    return array


def _times(array: Array, factor: float) -> Array:
    return array * factor


def _taken(array: Array, order: Array, axis: int) -> Array:
    return np.take(array, order, axis)


def _swapped(array: Array, a: int, b: int) -> Array:
    return np.swapaxes(array, a, b)


def _scaled_weights(model: onnx.ModelProto, rng: Random, factor: float) -> Sites:
    for name, array in floats(model, 2):
        places = np.flatnonzero(array)
        if len(places):
            place = int(rng.choice(places))
            yield f"{name}[{place}]", change(name, partial(_one_element, place=place, factor=factor))


@plants("one weight changed by 1e-3 relative")
def weight(model: onnx.ModelProto, rng: Random) -> Sites:
    """As a bad cast or a torn download would."""
    yield from _scaled_weights(model, rng, 1.001)


@plants("one weight changed by 1e-5 relative")
def weight_slightly(model: onnx.ModelProto, rng: Random) -> Sites:
    """As a weight that went through text with five digits."""
    yield from _scaled_weights(model, rng, 1.00001)


@plants("one weight changed by 1e-6 relative")
def weight_hardly(model: onnx.ModelProto, rng: Random) -> Sites:
    """Some ten units in the last place."""
    yield from _scaled_weights(model, rng, 1.000001)


@plants("two channels swapped")
def channels(model: onnx.ModelProto, rng: Random) -> Sites:
    """Rows or columns of a weight."""
    for name, array in floats(model, 4):
        axes = [axis for axis, size in enumerate(array.shape) if size > 1]
        if array.ndim < 2 or not axes:
            continue
        axis = int(rng.choice(axes))
        a, b = map(int, rng.choice(array.shape[axis], 2, replace=False))
        order = np.arange(array.shape[axis])
        order[[a, b]] = order[[b, a]]
        yield f"{name} axis {axis}", change(name, partial(_taken, order=order, axis=axis))


@plants("transposed weight")
def transposed(model: onnx.ModelProto, rng: Random) -> Sites:
    """Two axes of the same size, told by no shape check."""
    for name, array in floats(model, 4):
        pairs = [(a, b) for a in range(array.ndim) for b in range(a) if array.shape[a] == array.shape[b] > 1]
        if pairs:
            a, b = pairs[int(rng.integers(len(pairs)))]
            yield name, change(name, partial(_swapped, a=a, b=b))


@plants("bias dropped")
def bias(model: onnx.ModelProto, rng: Random) -> Sites:
    """Zero in its place."""
    for place, node in numbered(model):
        index = {"Gemm": 2, "Conv": 2, "ConvTranspose": 2, "LSTM": 3, "GRU": 3, "RNN": 3}.get(node.op_type)
        for at in [index] if index is not None else ([0, 1] if node.op_type == "Add" else []):
            if at < len(node.input) and node.input[at]:
                value = taken(model, node, at)
                if value is not None and value.dtype.kind == "f" and np.squeeze(value).ndim >= 1 and value.any():
                    yield label(place, node), change_input(place, at, np.zeros_like)


@plants("LSTM or GRU gate order")
def gates(model: onnx.ModelProto, rng: Random) -> Sites:
    """PyTorch's or Keras's order of gates left in ONNX's place."""
    for place, node in numbered(model, "LSTM", "GRU"):
        count = 4 if node.op_type == "LSTM" else 3
        order = [0, 2, 3, 1] if count == 4 else [1, 0, 2]
        for at in (1, 2, 3):
            if taken(model, node, at) is None:
                continue

            def shuffled(value: Array, count: int = count, order: list[int] = order) -> Array:
                halves = np.split(value, 2, axis=1) if value.ndim == 2 else [value]
                done = [np.concatenate([np.split(h, count, axis=1)[g] for g in order], axis=1) for h in halves]
                return np.concatenate(done, axis=1)

            yield f"{label(place, node)} input {at}", change_input(place, at, shuffled)


@plants("LeakyReLU slope")
def slope(model: onnx.ModelProto, rng: Random) -> Sites:
    """Another default, or an f-string's rounding."""
    for place, node in numbered(model, "LeakyRelu"):
        alpha = attribute(node, "alpha")
        alpha = 0.01 if alpha is None else alpha
        for factor in (2.0, 1.001, 1.000002):
            yield f"{label(place, node)} x{factor}", set_attribute(place, "alpha", float(alpha * factor))


@plants("activation alpha")
def alpha(model: onnx.ModelProto, rng: Random) -> Sites:
    """Elu's and its kin's, and the factors of a Gemm."""
    for place, node in numbered(model, "Elu", "Celu", "Selu", "HardSigmoid", "ThresholdedRelu", "Gemm"):
        value = attribute(node, "alpha")
        value = {"HardSigmoid": 0.2, "Selu": 1.6732632}.get(node.op_type, 1.0) if value is None else value
        factors = (1.00001,) if node.op_type == "Gemm" else (1.5, 1.001, 1.00001)
        for factor in factors:
            yield f"{label(place, node)} x{factor}", set_attribute(place, "alpha", float(value * factor))


@plants("wrong epsilon in batch or layer norm")
def epsilon(model: onnx.ModelProto, rng: Random) -> Sites:
    """1e-3 for 1e-5 is Keras's default in PyTorch's place."""
    for place, node in numbered(model, "BatchNormalization", "LayerNormalization", "InstanceNormalization"):
        value = attribute(node, "epsilon") or 1e-5
        for other in (value * 100 if value < 1e-4 else value / 100, value * 1.2):
            yield f"{label(place, node)} {other:.3g}", set_attribute(place, "epsilon", float(other))
    for place, node in numbered(model, "Add"):
        for at in (0, 1):
            held = taken(model, node, at)
            if (
                held is not None
                and held.dtype.kind == "f"
                and held.size == 1
                and 0 < abs(float(held.ravel()[0])) < 2e-3
            ):
                for factor in (100.0, 1.2):
                    yield f"{label(place, node)} x{factor}", change_input(place, at, partial(_times, factor=factor))


@plants("wrong scaler constant")
def scaler(model: onnx.ModelProto, rng: Random) -> Sites:
    """A factor or an offset of pre-processing, or a scalar of the network."""
    for place, node in numbered(model, "Mul", "Div", "Sub"):
        for at in (0, 1):
            held = taken(model, node, at)
            if held is not None and held.dtype.kind == "f" and held.any():
                where = int(rng.choice(np.flatnonzero(held)))
                for factor in (1.01, 1.00001, 1.0000015):
                    edit = change_input(place, at, partial(_one_element, place=where, factor=factor))
                    yield f"{label(place, node)} x{factor}", edit
    for place, node in numbered(model, "Scaler"):
        for name in ("offset", "scale"):
            values = list(attribute(node, name) or [])
            if values:
                values[0] = values[0] * 1.01 or 0.01
                yield f"{label(place, node)} {name}", set_attribute(place, name, values)


@plants("threshold off by one ulp")
def threshold(model: onnx.ModelProto, rng: Random) -> Sites:
    """Of a comparison, or of a node of a tree."""
    for place, node in numbered(model, "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        for at in (0, 1):
            held = taken(model, node, at)
            if held is not None and held.dtype.kind == "f":
                edit = change_input(place, at, lambda v: np.nextafter(v, np.float32(np.inf)))
                yield label(place, node), edit
    for place, node in numbered(model, "TreeEnsembleClassifier", "TreeEnsembleRegressor"):
        name, values = _numbers(node, "nodes_values")
        inner = np.flatnonzero(values)
        if len(inner):
            at = int(rng.choice(inner))
            values[at] = np.nextafter(np.float32(values[at]), np.float32(np.inf))
            yield f"{label(place, node)} node {at}", set_attribute(place, name, _as_held(name, values))


_WIDE = "_as_tensor"
"""behind the name of a tree's attribute that holds doubles"""


def _numbers(node: onnx.NodeProto, name: str) -> tuple[str, Array]:
    """An attribute of floats, or the one of doubles in its place: what it is called, and its values."""
    wide = attribute(node, name + _WIDE)
    if wide is not None:
        return name + _WIDE, np.array(onnx.numpy_helper.to_array(wide), np.float64)
    return name, np.array(attribute(node, name) or [], np.float64)


def _as_held(name: str, values: Array) -> onnx.TensorProto | list[float]:
    return onnx.numpy_helper.from_array(values, name) if name.endswith(_WIDE) else [float(value) for value in values]


def _one_changed(place: int, node: onnx.NodeProto, names: tuple[str, ...], rng: Random) -> Sites:
    """One value of each of these lists in the node's attributes, by 1e-3 relative."""
    for plain in names:
        name, values = _numbers(node, plain)
        places = np.flatnonzero(values)
        if len(places):
            at = int(rng.choice(places))
            values[at] *= 1.001
            yield f"{label(place, node)} {plain}[{at}]", set_attribute(place, name, _as_held(name, values))


@plants("a tree's leaf or split changed")
def tree(model: onnx.ModelProto, rng: Random) -> Sites:
    """By 1e-3 relative."""
    for place, node in numbered(model, "TreeEnsembleClassifier", "TreeEnsembleRegressor"):
        yield from _one_changed(place, node, ("nodes_values", "class_weights", "target_weights"), rng)


@plants("a coefficient changed")
def coefficient(model: onnx.ModelProto, rng: Random) -> Sites:
    """Of a linear model or a support vector machine, by 1e-3 relative, or an intercept that was forgotten."""
    for place, node in numbered(model, "LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"):
        yield from _one_changed(place, node, ("coefficients", "support_vectors", "rho", "prob_a", "prob_b"), rng)
        intercepts = list(attribute(node, "intercepts") or [])
        if any(intercepts):
            yield f"{label(place, node)} no intercepts", set_attribute(place, "intercepts", [0.0] * len(intercepts))


@plants("wrong label order")
def labels(model: onnx.ModelProto, rng: Random) -> Sites:
    """Two labels, categories or outputs exchanged."""
    wanted = ("classlabels_strings", "classlabels_int64s", "classlabels_ints", "values_strings", "values_int64s")
    for place, node in numbered(model):
        for name in (*wanted, "cats_strings"):
            values = list(attribute(node, name) or [])
            if len(values) > 1:
                a, b = map(int, rng.choice(len(values), 2, replace=False))
                values[a], values[b] = values[b], values[a]
                yield f"{label(place, node)} {name}", set_attribute(place, name, values)
    last = [(place, node) for place, node in numbered(model, "Gemm") if len(node.input) > 2][-1:]
    for place, node in last:
        axis = 0 if attribute(node, "transB") else 1
        held, offset = taken(model, node, 1), taken(model, node, 2)
        if held is None or offset is None or held.shape[axis] < 2:
            continue

        def both(copy: onnx.ModelProto, place: int = place, axis: int = axis) -> None:
            change_input(place, 1, lambda v: _rolled(v, axis))(copy)
            change_input(place, 2, lambda v: _rolled(v, -1))(copy)

        yield f"{label(place, node)} outputs", both


def _rolled(value: Array, axis: int) -> Array:
    order = np.arange(value.shape[axis])
    order[:2] = 1, 0
    return np.take(value, order, axis)

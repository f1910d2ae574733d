"""Isotonic calibration, neighbours by distance and logarithms of counts, which skl2onnx 1.20 writes otherwise."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

_COUNTS = "SklearnTfidfTransformer"
"""what skl2onnx calls the weighing of counts of words, of a TfidfVectorizer too"""


@contextlib.contextmanager
def as_scikit_learn_does() -> Iterator[None]:
    """While open, skl2onnx interpolates a calibration, a neighbour at no distance is the only one that counts, and the
    logarithm of a count is taken of words that are there alone."""
    from skl2onnx.common._registration import RegisteredConverter, _converter_pool
    from skl2onnx.operator_converters import calibrated_classifier_cv, nearest_neighbours

    isotonic, neighbours = calibrated_classifier_cv._transform_isotonic, nearest_neighbours._convert_nearest_neighbors
    counts = _converter_pool[_COUNTS]

    def weighed(operator: Any, container: Any, k: Any = None, radius: Any = None) -> Any:
        indices, distances, labels, weights, norm, axis = neighbours(operator, container, k, radius)
        if distances is not None and radius is None and getattr(operator.raw_operator, "weights", "") == "distance":
            weights, norm = _weights(operator, container, distances)
        return indices, distances, labels, weights, norm, axis

    def sublinear(scope: Any, operator: Any, container: Any) -> None:
        counts(scope, _with_logarithms(scope, operator, container), container)

    _converter_pool[_COUNTS] = RegisteredConverter(sublinear, counts.get_allowed_options())
    calibrated_classifier_cv._transform_isotonic = _interpolated
    nearest_neighbours._convert_nearest_neighbors = weighed
    try:
        yield
    finally:
        _converter_pool[_COUNTS] = counts
        calibrated_classifier_cv._transform_isotonic = isotonic
        nearest_neighbours._convert_nearest_neighbors = neighbours


def _with_logarithms(scope: Any, operator: Any, container: Any) -> Any:
    """What weighs 1 + log(count) for each word that is there, the logarithms taken already; others as they are."""
    weighing = operator.raw_operator
    if not weighing.sublinear_tf:
        return operator
    from skl2onnx.algebra import onnx_ops as ox
    from skl2onnx.common.data_types import guess_numpy_type

    given, at = operator.inputs[0], {"op_version": container.target_opset}
    kind = np.float64 if guess_numpy_type(given.type) == np.float64 else np.float32
    zero, one = np.zeros(1, kind), np.ones(1, kind)
    absent = ox.OnnxEqual(given, zero, **at)
    logarithms = ox.OnnxAdd(ox.OnnxLog(ox.OnnxWhere(absent, one, given, **at), **at), one, **at)
    made = scope.declare_local_variable("logarithms", given.type)
    ox.OnnxWhere(absent, zero, logarithms, output_names=[made], **at).add_to(scope, container)
    plain = copy.copy(weighing)
    plain.sublinear_tf = False
    return SimpleNamespace(
        raw_operator=plain,
        inputs=[made],
        input_full_names=[made.full_name],
        outputs=operator.outputs,
        output_full_names=operator.output_full_names,
        type=operator.type,
        full_name=operator.full_name,
        target_opset=operator.target_opset,
    )


def _weights(operator: Any, container: Any, distances: Any) -> tuple[Any, Any]:
    """1 / distance; where one is 0, 1 for those and 0 for the others. skl2onnx takes 1e-6 for all."""
    from skl2onnx.algebra import onnx_ops as ox
    from skl2onnx.common.data_types import guess_numpy_type
    from skl2onnx.proto import onnx_proto

    at: dict[str, Any] = {"op_version": container.target_opset}
    wide = guess_numpy_type(operator.inputs[0].type) == np.float64
    number = onnx_proto.TensorProto.DOUBLE if wide else onnx_proto.TensorProto.FLOAT
    zero = np.zeros(1, np.float64 if wide else np.float32)
    distances = ox.OnnxAbs(distances, **at)  # it hands them on as it sorted them, negative
    same = ox.OnnxCast(ox.OnnxEqual(distances, zero, **at), to=number, **at)
    found = ox.OnnxReduceMaxApi18(same, axes=[1], keepdims=1, **at)
    weights = ox.OnnxWhere(ox.OnnxGreater(found, zero, **at), same, ox.OnnxReciprocal(distances, **at), **at)
    return weights, ox.OnnxReduceSumApi11(weights, axes=[1], keepdims=0, **at)


def _interpolated(scope: Any, container: Any, model: Any, T: Any, k: int, dtype: Any, proto_type: int) -> str:
    """The line between the two thresholds around each value; beyond the outer ones their values."""
    from skl2onnx.proto import onnx_proto

    curve = model.calibrators[k]
    if curve.out_of_bounds != "clip" and len(curve.X_thresholds_):
        raise NotImplementedError(f"an isotonic calibration with out_of_bounds={curve.out_of_bounds!r}")
    kind = dtype if dtype in (np.float32, np.float64) else np.float32
    number = onnx_proto.TensorProto.DOUBLE if kind == np.float64 else onnx_proto.TensorProto.FLOAT
    x, y = (np.asarray(values, np.float64) for values in (curve.X_thresholds_, curve.y_thresholds_))
    if len(x) == 1:
        x, y = np.array([x[0], x[0] + 1]), np.array([y[0], y[0]])
    gaps = np.diff(x)
    slopes = np.where(gaps > 0, np.diff(y) / np.where(gaps > 0, gaps, 1), 0)

    def constant(name: str, values: Any, kind_of: int) -> str:
        made: str = scope.get_unique_variable_name(name)
        values = np.asarray(values)
        container.add_initializer(made, kind_of, list(values.shape), values.ravel().tolist())
        return made

    def node(kind_of: str, inputs: list[str], **attributes: Any) -> str:
        made: str = scope.get_unique_variable_name(kind_of.lower())
        container.add_node(kind_of, inputs, made, name=scope.get_unique_operator_name(kind_of), **attributes)
        return made

    whole = onnx_proto.TensorProto.INT64
    column = node("Reshape", [T, constant("column", [-1, 1], whole)])
    least, most = constant("least", x[0], number), constant("most", x[-1], number)
    column = node("Min", [node("Max", [column, least]), most])
    above = node("GreaterOrEqual", [column, constant("inner", x[None, 1:-1], number)])
    counted = node("Cast", [above], to=whole)
    place = node("ReduceSum", [counted, constant("axis", [1], whole)], keepdims=1) if len(x) > 2 else None
    if place is None:  # one line
        start, slope, base = (constant(n, v, number) for n, v in (("x", x[:1]), ("slope", slopes[:1]), ("y", y[:1])))
    else:
        start, slope, base = (
            node("Gather", [constant(n, v, number), place], axis=0)
            for n, v in (("x", x[:-1]), ("slope", slopes), ("y", y[:-1]))
        )
    return node("Add", [node("Mul", [node("Sub", [column, start]), slope]), base])

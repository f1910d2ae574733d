"""What the tests of the steps share: inputs of every kind, and a step's graph as the export writes it."""

from __future__ import annotations

import numpy as np
import onnx

from onnxpress.core.arrays import Array
from onnxpress.core.processing import Processing, Step, apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph.compose import compose
from onnxpress.serving.engine import Engine

G = np.random.default_rng(0)
FLOATS = TensorSpec(name="x", dtype="float32", shape=("batch", 4))
COLUMN = TensorSpec(name="x", dtype="float32", shape=("batch",))
TEXT = TensorSpec(name="x", dtype="string", shape=("batch",))
IDS = TensorSpec(name="x", dtype="int64", shape=("batch",))
NUMBERS = TensorSpec(name="x", dtype="int64", shape=("batch", 6))
FLAGS = TensorSpec(name="x", dtype="bool", shape=("batch",))
IMAGES = TensorSpec(name="x", dtype="uint8", shape=("batch", "height", "width", 3))
WINDOWS = TensorSpec(name="x", dtype="float32", shape=("batch", 40, 3))


def draw(spec: TensorSpec, batch: int, generator: np.random.Generator = G) -> Array:
    sizes = {"batch": batch, "height": 9, "width": 14}
    shape = tuple(sizes[size] if isinstance(size, str) else size for size in spec.shape)
    if spec.dtype == "string":
        words = ["", "café", "b", "Ω", "ABC", "aAbBcC", "日本", "x" * 40, "é", "b  Café B b", " ", "<pad> b"]
        return np.array(generator.choice(np.array(words, object), shape), object)
    if spec.dtype == "uint8":
        return generator.integers(0, 256, shape).astype(np.uint8)
    if spec.dtype == "int64":
        return generator.integers(-1, 5, shape)
    if spec.dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    found = generator.standard_normal(shape).astype(np.float32) * 2
    if spec is FLOATS and batch:
        found[0, 1] = np.float32(0.25)
    return found


def graph(spec: TensorSpec, step: Step) -> Engine:
    """The runtime with `proto`."""
    return Engine.load(proto(spec, step).SerializeToString(), self_test=False)


def proto(spec: TensorSpec, step: Step) -> onnx.ModelProto:
    """The step behind a network that does nothing, as the export writes it."""
    kinds = {"float32": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64, "bool": onnx.TensorProto.BOOL,
             "string": onnx.TensorProto.STRING, "uint8": onnx.TensorProto.UINT8}  # fmt: skip
    known = apply([step], {"x": draw(spec, 3)})
    names = [name for name in known if name != "x"]
    outputs = [
        TensorSpec(
            name=name,
            dtype="string" if known[name].dtype == object else str(known[name].dtype),
            shape=("batch", *known[name].shape[1:]),
        )
        for name in names
    ]
    value = [onnx.helper.make_tensor_value_info(name, kinds[spec.dtype], None) for name in ("x", "same")]
    node = onnx.helper.make_node("Identity", ["x"], ["same"])
    network = onnx.helper.make_model(
        onnx.helper.make_graph([node], "network", value[:1], value[1:]),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=10,
    )
    composed = compose(network, Processing(after=[step]), [spec], outputs)
    onnx.checker.check_model(composed)
    return composed

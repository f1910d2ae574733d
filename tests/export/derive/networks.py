"""Small networks with the corners that quantizers trip over, and their publishing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxpress.core.arrays import Array
from onnxpress.export.api import export


def constant(name: str, value: Array) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


def model(
    nodes: list[onnx.NodeProto], constants: dict[str, Array], size: list[int | str], answer: list[int | str]
) -> onnx.ModelProto:
    """From `x` to `y`, both float32, with the batch as their first axis."""
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *answer])],
        [constant(name, value) for name, value in constants.items()],
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(found, full_check=True)
    return found


def weights(*shape: int, seed: int = 0) -> Array:
    return (np.random.default_rng(seed).normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)


def classifier(*, hidden: int = 128, **gemm: float) -> onnx.ModelProto:
    """16 features → 3 probabilities by two Gemm nodes with `transB`, as torch writes them; `gemm` are attributes."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1, **gemm),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "v"], ["s"], transB=1),
        helper.make_node("Softmax", ["s"], ["y"]),
    ]
    constants = {"w": weights(hidden, 16), "b": weights(hidden, seed=1), "v": weights(3, hidden, seed=2) * 2}
    return model(nodes, constants, [16], [3])


def rows(count: int, *size: int, seed: int = 5) -> Array:
    return np.random.default_rng(seed).normal(size=(count, *size)).astype(np.float32)


def published(repository: Path, network: onnx.ModelProto, name: str = "net") -> Path:
    """Version 1 of it."""
    path = repository.parent / f"{name}.onnx"
    onnx.save(network, path)
    return export(str(path), name=name, repository=repository).folder

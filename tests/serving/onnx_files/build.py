"""Builds the .onnx files beside it, so that the serving tests need no onnx: python tests/serving/onnx_files/build.py

tiny   x:float32[batch,32] -> y:float32[batch,8]     two layers, for speed and batching
echo   one input and output of each dtype, [batch,width], for the protocol
table  row:int64[batch] -> value:float32[batch]      five rows; an index beyond them fails in the run
slow   steps:int64[] -> total:float32[]              a loop of so many steps, about a microsecond each
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
ECHOED = {
    "bool": TensorProto.BOOL, "int8": TensorProto.INT8, "int16": TensorProto.INT16, "int32": TensorProto.INT32,
    "int64": TensorProto.INT64, "uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32, "uint64": TensorProto.UINT64, "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "string": TensorProto.STRING,
}  # fmt: skip


def main() -> None:
    for name, graph in (("tiny", tiny()), ("echo", echo()), ("table", table()), ("slow", slow())):
        # Versions that every supported runtime loads, not those that this onnx writes by default.
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        model.producer_name, model.producer_version = "onnxpress-tests", ""
        onnx.checker.check_model(model, full_check=True)
        (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def tiny() -> onnx.GraphProto:
    draw = np.random.default_rng(0)
    weights = [draw.standard_normal(shape).astype(np.float32) / 6 for shape in ((32, 32), (32, 8))]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["y"]),
    ]
    return helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(weight, f"w{number}") for number, weight in enumerate(weights)],
    )


def echo() -> onnx.GraphProto:
    shape = ["batch", "width"]
    return helper.make_graph(
        [helper.make_node("Identity", [f"{name}_in"], [f"{name}_out"]) for name in ECHOED],
        "echo",
        [helper.make_tensor_value_info(f"{name}_in", kind, shape) for name, kind in ECHOED.items()],
        [helper.make_tensor_value_info(f"{name}_out", kind, shape) for name, kind in ECHOED.items()],
    )


def table() -> onnx.GraphProto:
    return helper.make_graph(
        [helper.make_node("Gather", ["values", "row"], ["value"])],
        "table",
        [helper.make_tensor_value_info("row", TensorProto.INT64, ["batch"])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["batch"])],
        [numpy_helper.from_array(np.arange(5, dtype=np.float32) * 10, "values")],
    )


def slow() -> onnx.GraphProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["sum", "one"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, []),
        ],
    )
    return helper.make_graph(
        [helper.make_node("Loop", ["steps", "", "zero"], ["total"], body=body)],
        "slow",
        [helper.make_tensor_value_info("steps", TensorProto.INT64, [])],
        [helper.make_tensor_value_info("total", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("zero", 0), ("one", 1))],
    )


if __name__ == "__main__":
    main()

"""Weights alone in 8 or 4 bits; everything is computed in float32, so rows never look at each other.

Products with a constant become MatMulNBits, with a scale for each block. Tables get a scale for each row that is
looked up. The weights of convolutions, recurrent layers and small products get one for each channel, and are unpacked
when the model is loaded: the file is smaller, the memory is not. `accuracy_level` stays unset: 4 would
quantize activations too.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

import numpy as np

from onnxpress.core.manifest import SessionSettings
from onnxpress.export.derive.prepared import copied, name_nodes, rebuild
from onnxpress.export.derive.static_int8 import quietly

if TYPE_CHECKING:
    import onnx

_CHANNEL = {"Conv": 0, "ConvTranspose": 1, "LSTM": 1, "GRU": 1, "RNN": 1, "MatMul": 1}
_WEIGHTS = {"Conv": (1,), "ConvTranspose": (1,), "LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2), "MatMul": (1,)}
_PADDED = 1.3
"""times as many values: products whose blocks would be filled up to more than this get a scale for each column"""
_LEAST = 1024
"""elements of a weight that is worth a scale"""


def settings(parent: SessionSettings) -> SessionSettings:
    """The parent's, with weights per channel unpacked at load rather than in every run."""
    import msgspec

    return msgspec.structs.replace(parent, config={**parent.config, "session.disable_quant_qdq": "1"})


def quantized(
    graph: onnx.ModelProto, bits: Literal[4, 8], block: int | None, *, keep: Collection[str] = ()
) -> onnx.ModelProto | None:
    """A copy of a prepared graph with weights of so many bits, in blocks of so many values.

    A block of None gives products a scale for each column too: they are as quick as before, once they are unpacked.
    None where there are no weights that could have so few. With 4 bits, tables and channels get 8 all the same.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat

    found = copied(graph)
    _split_gemms(found.graph, set(keep))
    if block is not None:
        with quietly():
            from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

            quantizer = MatMulNBitsQuantizer(
                found,
                bits=bits,
                block_size=block,
                is_symmetric=bits == 8,
                accuracy_level=None,
                nodes_to_exclude=[*keep, *_narrow(found.graph, block)],
                quant_format=QuantFormat.QOperator,
                op_types_to_quantize=("MatMul",),
            )
            quantizer.process()
        found = quantizer.model.model
    _tables(found.graph, set(keep))
    _channels(found.graph, set(keep))
    name_nodes(found)
    products = any(node.op_type == "MatMulNBits" for node in found.graph.node)
    unpacked = any(tensor.data_type == onnx.TensorProto.INT8 for tensor in found.graph.initializer)
    return found if products or (bits == 8 and unpacked) else None


def _narrow(graph: onnx.GraphProto, block: int) -> list[str]:
    """Names of the products with so few rows of weights that whole blocks would be mostly padding."""
    weights = _constants(graph)
    sizes = {node.name: weights[node.input[1]].dims[0] for node in graph.node if _is_product(node, weights)}
    return [name for name, size in sizes.items() if -(-size // block) * block > _PADDED * size]


def _is_product(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    return node.op_type == "MatMul" and node.input[1] in weights and len(weights[node.input[1]].dims) == 2


def _constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    import onnx

    return {
        tensor.name: tensor
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and int(np.prod(tensor.dims)) >= _LEAST
    }


def _split_gemms(graph: onnx.GraphProto, keep: set[str]) -> None:
    """Gemm with a constant → MatMul and Add, which MatMulNBits takes the place of."""
    import onnx

    weights, nodes = _constants(graph), []
    for node in graph.node:
        given = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        plain = given.get("alpha", 1.0) == 1.0 and given.get("beta", 1.0) == 1.0 and not given.get("transA", 0)
        if node.op_type != "Gemm" or node.name in keep or node.input[1] not in weights or not plain:
            nodes.append(node)
            continue
        name = node.input[1]
        if given.get("transB", 0):
            turned = f"{name}_turned"
            if not any(tensor.name == turned for tensor in graph.initializer):
                value = np.ascontiguousarray(onnx.numpy_helper.to_array(weights[name]).T)
                graph.initializer.append(onnx.numpy_helper.from_array(value, turned))
            name = turned
        added = len(node.input) > 2 and node.input[2]
        product = f"{node.output[0]}_product" if added else node.output[0]
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], name], [product], name=node.name))
        if added:
            nodes.append(
                onnx.helper.make_node("Add", [product, node.input[2]], list(node.output), name=f"{node.name}_bias")
            )
    rebuild(graph, nodes, graph.initializer)


def _tables(graph: onnx.GraphProto, keep: set[str]) -> None:
    """Gather from a table of floats → the rows in 8 bits and their scales are looked up, and multiplied."""
    import onnx

    weights, nodes = _constants(graph), []
    done: dict[str, tuple[str, str]] = {}
    for node in graph.node:
        axis = next((one.i for one in node.attribute if one.name == "axis"), 0)
        table = weights.get(node.input[0]) if node.op_type == "Gather" and node.name not in keep and axis == 0 else None
        if table is None or len(table.dims) != 2:
            nodes.append(node)
            continue
        if table.name not in done:
            value = onnx.numpy_helper.to_array(table)
            scale = np.maximum(np.abs(value).max(1, keepdims=True), np.float32(1e-30)) / np.float32(127)
            bits = np.clip(np.rint(value / scale), -127, 127).astype(np.int8)
            names = f"{table.name}_bits", f"{table.name}_scales"
            graph.initializer.append(onnx.numpy_helper.from_array(bits, names[0]))
            graph.initializer.append(onnx.numpy_helper.from_array(scale.astype(np.float32), names[1]))
            done[table.name] = names
        out, rows = node.output[0], done[table.name]
        made = [(rows[0], f"{out}_bits"), (rows[1], f"{out}_scales")]
        nodes += [
            onnx.helper.make_node("Gather", [name, node.input[1]], [found], name=f"{node.name}_{number}", axis=0)
            for number, (name, found) in enumerate(made)
        ]
        nodes.append(
            onnx.helper.make_node(
                "Cast", [made[0][1]], [f"{out}_cast"], name=f"{node.name}_cast", to=onnx.TensorProto.FLOAT
            )
        )
        nodes.append(onnx.helper.make_node("Mul", [f"{out}_cast", made[1][1]], [out], name=node.name))
    rebuild(graph, nodes, graph.initializer)


def _channels(graph: onnx.GraphProto, keep: set[str]) -> None:
    """Weights of convolutions, recurrent layers and small products → 8 bits, and DequantizeLinear per channel."""
    import onnx

    weights, nodes = _constants(graph), []
    done: set[str] = set()
    for node in graph.node:
        for place in _WEIGHTS.get(node.op_type, ()):
            tensor = weights.get(node.input[place]) if len(node.input) > place else None
            if tensor is None or node.name in keep or (node.op_type == "MatMul" and len(tensor.dims) != 2):
                continue
            axis, name = _CHANNEL[node.op_type], f"{tensor.name}_float"
            if name not in done:
                value = onnx.numpy_helper.to_array(tensor)
                others = tuple(number for number in range(value.ndim) if number != axis)
                scale = np.maximum(np.abs(value).max(others), np.float32(1e-30)) / np.float32(127)
                shape = [-1 if number == axis else 1 for number in range(value.ndim)]
                bits = np.clip(np.rint(value / scale.reshape(shape)), -127, 127).astype(np.int8)
                graph.initializer.append(onnx.numpy_helper.from_array(bits, f"{tensor.name}_bits"))
                graph.initializer.append(onnx.numpy_helper.from_array(scale.astype(np.float32), f"{tensor.name}_scale"))
                nodes.append(
                    onnx.helper.make_node(
                        "DequantizeLinear",
                        [f"{tensor.name}_bits", f"{tensor.name}_scale"],
                        [name],
                        name=f"{name}_unpacked",
                        axis=axis,
                    )
                )
                done.add(name)
            node.input[place] = name
        nodes.append(node)
    rebuild(graph, nodes, graph.initializer)

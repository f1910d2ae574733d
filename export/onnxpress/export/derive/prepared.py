"""The parent's graph made ready for a quantizer: folded, every node named, known traps of the tools taken away."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from onnxpress.export.graph.editing import drop_unused

if TYPE_CHECKING:
    import onnx

_Message = TypeVar("_Message", "onnx.ModelProto", "onnx.NodeProto", "onnx.TensorProto")
_PREFIX = "node"


def prepare(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that says the same. Constants are folded and batch norms put into convolutions, as the runtime does.

    - Symbolic shape inference is left out: it fails on a Shape with `start` or `end`.
    - What was inferred of shapes is dropped: `quantize_dynamic` turns a Gemm with `transB` into a MatMul, and trips
      over the shape that its weight had.
    - A Gemm with `alpha` or `beta` other than 1 has them multiplied into its constants: in int8 they would be lost.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="onnxpress-derive-") as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(graph, before)
        quant_pre_process(str(before), str(after), skip_symbolic_shape=True)
        found = onnx.load(after)
    del found.graph.value_info[:]
    name_nodes(found)
    for node in found.graph.node:
        if node.op_type == "Gemm" and node.domain in ("", "ai.onnx"):
            _without_factors(found.graph, node)
    return found


def name_nodes(graph: onnx.ModelProto) -> None:
    """Give every node of the main graph a name of its own; those that are there stay."""
    taken = {node.name for node in graph.graph.node}
    seen: set[str] = set()
    for number, node in enumerate(graph.graph.node):
        if not node.name or node.name in seen:
            name = f"{_PREFIX}_{number}_{node.op_type}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
        seen.add(node.name)


def _without_factors(graph: onnx.GraphProto, gemm: onnx.NodeProto) -> None:
    import onnx

    factors = {one.name: one.f for one in gemm.attribute if one.name in ("alpha", "beta")}
    for attribute, place in (("alpha", 1), ("beta", 2)):
        factor = factors.get(attribute, 1.0)
        if factor == 1.0 or len(gemm.input) <= place or not gemm.input[place]:
            continue
        constant = next((one for one in graph.initializer if one.name == gemm.input[place]), None)
        if constant is None:
            continue
        value = onnx.numpy_helper.to_array(constant)
        name = f"{constant.name}_times_{attribute}_of_{gemm.name}"
        graph.initializer.append(onnx.numpy_helper.from_array((value * value.dtype.type(factor)), name))
        gemm.input[place] = name
        kept = [one for one in gemm.attribute if one.name != attribute]
        del gemm.attribute[:]
        gemm.attribute.extend(kept)


def gemms_with_factors(graph: onnx.ModelProto) -> list[str]:
    """Names of the Gemm nodes that still have them, as what they multiply is computed: they must stay in float."""
    return [
        node.name
        for node in graph.graph.node
        if node.op_type == "Gemm"
        and any(one.name in ("alpha", "beta") and not np.isclose(one.f, 1.0) for one in node.attribute)
    ]


def copied(message: _Message) -> _Message:
    """A copy to rewrite."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def rebuild(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto], tensors: Iterable[onnx.TensorProto]) -> None:
    """Put these nodes and constants into the graph instead of its own, which may be among them.

    What no output needs any more is left out.
    """
    steps, kept = [copied(node) for node in nodes], [copied(tensor) for tensor in tensors]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(steps)
    graph.initializer.extend(kept)
    drop_unused(graph)

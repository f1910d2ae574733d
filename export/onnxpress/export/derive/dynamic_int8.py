"""Dynamic int8: weights in 8 bits, activations quantized anew in every run, over the whole batch at once.

So a row's answer depends on its neighbours, and such a version is never batched. The range of weights is reduced, as
the integer products saturate on processors without VNNI whether they are fused or not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from onnxpress.export.derive.prepared import copied
from onnxpress.export.derive.static_int8 import quietly

if TYPE_CHECKING:
    import onnx

OPERATORS = ("MatMul", "Gemm", "LSTM")
"""convolutions become 5 to 10 times slower, and are left alone"""


def offered(graph: onnx.ModelProto) -> bool:
    """Whether it is recurrent, or more of its weights are in products than in convolutions."""
    sizes = {tensor.name: _count(tensor) for tensor in graph.graph.initializer}
    total = {"products": 0, "convolutions": 0}
    for node in graph.graph.node:
        weights = sum(sizes.get(name, 0) for name in node.input)
        if node.op_type == "LSTM":
            return True
        if node.op_type in OPERATORS:
            total["products"] += weights
        elif node.op_type in ("Conv", "ConvTranspose"):
            total["convolutions"] += weights
    return total["products"] > total["convolutions"]


def nodes(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that can be quantized."""
    return [node.name for node in graph.graph.node if node.op_type in OPERATORS]


def _count(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def quantized(graph: onnx.ModelProto, *, keep: Collection[str] = ()) -> onnx.ModelProto:
    """A quantized copy of a prepared graph. Products of two computed tensors stay in float."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(prefix="onnxpress-derive-") as folder, quietly():
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(copied(graph), before)
        quantize_dynamic(
            before,
            after,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(keep),
            extra_options={"MatMulConstBOnly": True},
        )
        return onnx.load(after)

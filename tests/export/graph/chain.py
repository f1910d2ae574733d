"""An ONNX file of operators one behind the other, as somebody else may have written it."""

from __future__ import annotations

from pathlib import Path

import onnx


def write(path: Path, nodes: list[tuple[str, str, dict[str, int]]], channels: int = 16) -> None:
    """A chain of one-input operators `(domain, name, attributes)` over images."""
    names = ["x", *(f"t{number}" for number in range(len(nodes) - 1)), "y"]
    made = [
        onnx.helper.make_node(name, [names[n]], [names[n + 1]], domain=domain, name=f"step{n}", **attributes)
        for n, (domain, name, attributes) in enumerate(nodes)
    ]
    shape = ["N", channels, 4, 4]
    graph = onnx.helper.make_graph(
        made,
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, shape)],
        [onnx.helper.make_tensor_value_info("y", 1, shape)],
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    opsets += [onnx.helper.make_opsetid(domain, 1) for domain in sorted({domain for domain, _, _ in nodes if domain})]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())

"""What every tensor of a graph holds on some rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.derive.prepared import copied
from onnxpress.serving.engine.sessions import runtime_session

if TYPE_CHECKING:
    import onnx

_AT_ONCE = 64
"""tensors that one session hands out: they are all in memory together"""


def each(graph: onnx.ModelProto, names: list[str], feeds: Mapping[str, Array]) -> Mapping[str, Array]:
    """Tensor name → value on these feeds, of the graph as it is, without optimisations."""
    import onnx

    found: dict[str, Array] = {}
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        shown = copied(graph)
        there = {value.name for value in shown.graph.output}
        shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in some if name not in there)
        session = runtime_session(
            shown.SerializeToString(), "cpu", SessionSettings(optimization="none"), None, prepack=True
        )
        found.update(zip(some, session.run(some, dict(feeds)), strict=True))
    return found


def largest(graph: onnx.ModelProto, names: list[str], feeds: Mapping[str, Array]) -> dict[str, float]:
    """Tensor name → its largest finite magnitude; only of floats."""
    return {
        name: float(np.abs(value[np.isfinite(value)]).max(initial=0.0))
        for name, value in each(graph, names, feeds).items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    }

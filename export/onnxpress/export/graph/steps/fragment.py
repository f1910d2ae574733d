"""What the ONNX forms of the steps have in common: nodes and constants with names of their own."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.processing import Step
from onnxpress.export.graph.layer_notes import LAYER

if TYPE_CHECKING:
    import onnx

ML = "ai.onnx.ml"


class Fragment:
    """Nodes and constants that one step adds; constants are named after the step's output."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
        """Add an initializer; returns its name."""
        import onnx

        full = f"{self._prefix}/{name}"
        self.constants.append(onnx.numpy_helper.from_array(value, full))
        return full

    def sizes(self, name: str, values: list[int]) -> str:
        """Add a list of sizes, axes or places (int64) as an initializer; returns its name."""
        return self.constant(name, np.asarray(values, np.int64))

    def node(
        self, operator: str, inputs: list[str], output: str, *more: str, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node; `output` (and `more` of them) is taken as it is. Returns the first."""
        import onnx

        name = f"{self._prefix}/{operator}_{len(self.nodes)}"
        node = onnx.helper.make_node(operator, inputs, [output, *more], name=name, domain=domain, **attributes)
        node.metadata_props.append(onnx.StringStringEntryProto(key=LAYER, value=f"processing.{self._prefix}"))
        self.nodes.append(node)
        return output

    def then(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node whose output only this step sees; returns that name."""
        return self.node(operator, inputs, self.inner(f"{operator}_{len(self.nodes)}"), **attributes)

    def inner(self, name: str) -> str:
        """A name for a tensor that only this step sees."""
        return f"{self._prefix}/{name}"


@singledispatch
def write(step: Step, fragment: Fragment) -> None:
    """Add the nodes of one step. Registered once for every kind of step."""
    raise TypeError(f"no ONNX form is registered for the step {type(step).__name__}")


def float32() -> int:
    """ONNX's number of the type."""
    import onnx

    return int(onnx.TensorProto.FLOAT)

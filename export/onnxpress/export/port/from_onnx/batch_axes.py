"""Along which axis the rows lie in what a graph of fixed sizes computes, followed from its inputs.

What no rule is known of is taken to keep the axis where it is, counted from the last: whoever uses it asks the graph
afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import onnx
from onnx import helper

from onnxpress.core.arrays import Array

_RECURRENT = ("LSTM", "GRU", "RNN")


class BatchAxes:
    """The axis of every tensor in which there are rows."""

    def __init__(self, model: onnx.ModelProto, known: Mapping[str, Array]) -> None:
        graph = onnx.shape_inference.infer_shapes(model).graph
        weights = {one.name: list(one.dims) for one in graph.initializer}
        values = [*graph.input, *graph.value_info, *graph.output]
        self._sizes = {v.name: [size.dim_value for size in v.type.tensor_type.shape.dim] for v in values} | weights
        self._known = known
        self._outer: dict[str, int] = {}
        """where the rows are a part of their axis, how many parts lie around them"""
        self._axes: dict[str, int] = {value.name: 0 for value in graph.input if value.name not in weights}
        for node in graph.node:
            for place, output in enumerate(node.output):
                if (axis := self._of_output(node, place)) is not None:
                    self._axes[output] = axis

    def reshaped(self, node: Any) -> list[int] | None:
        """The sizes of a reshape, with the one in which there are rows told by all others; None where it is not known.

        As the others are the same for any number of rows, the rows may be a part of the axis, or all of it.
        """
        sizes = self._sizes.get(node.output[0])
        if not sizes or 0 in sizes:
            return None
        axis = self._axes.get(node.output[0], 0)
        return [-1 if place == axis else size for place, size in enumerate(sizes)]

    def _of_output(self, node: Any, place: int) -> int | None:
        name = next((one for one in node.input if one in self._axes), None)
        if name is None:
            return None
        outer = self._outer.get(name, 1)
        self._outer[node.output[place]] = outer
        axis, rank = self._axes[name], len(self._sizes.get(name, []))
        options = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type == "Transpose":
            perm = list(options.get("perm", reversed(range(rank))))
            return perm.index(axis)
        if node.op_type == "Reshape":
            ahead = math.prod(self._sizes.get(name, [])[:axis]) * outer
            return self._of_reshape(ahead, node.output[0])
        if node.op_type in _RECURRENT:
            return (2 if place == 0 else 1) - bool(options.get("layout", 0))
        if node.op_type in ("Squeeze", "Unsqueeze") or (
            node.op_type.startswith("Reduce") and not options.get("keepdims", 1)
        ):
            return self._of_axes(node, options, axis, rank)
        if node.op_type == "Gather" and name == node.input[0]:
            gathered, added = options.get("axis", 0) % max(rank, 1), len(self._sizes.get(node.input[1], []))
            return axis - 1 + added if gathered < axis else axis
        return max(0, len(self._sizes.get(node.output[place], [])) - rank + axis)

    def _of_reshape(self, ahead: int, output: str) -> int:
        """The axis that holds what lay behind so many values."""
        after = self._sizes.get(output, [])
        for place in range(len(after)):
            before = math.prod(after[:place])
            if before == ahead or before * after[place] > ahead:
                self._outer[output] = max(1, ahead // max(before, 1))
                return place
        return 0

    def _of_axes(self, node: Any, options: dict[str, Any], axis: int, rank: int) -> int:
        """Behind axes of one that come or go."""
        axes = options.get("axes")
        if axes is None and len(node.input) > 1 and node.input[1] in self._known:
            axes = self._known[node.input[1]].reshape(-1).tolist()
        if node.op_type == "Unsqueeze":
            new = {int(one) % (rank + len(axes or [])) for one in axes or []}
            return [*(place for place in range(rank + len(new)) if place not in new), 0][axis]
        gone = {int(one) % max(rank, 1) for one in axes or []}
        return axis - sum(one < axis for one in gone)

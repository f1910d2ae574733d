"""Squeezes of an axis that is not 1: nothing in torch, an error in ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx


def drop_idle_squeezes(graph: onnx.GraphProto) -> None:
    """Turn a Squeeze whose axis has a known size other than 1 into an Identity.

    Sizes are read from the graph's inputs and from what the converter wrote of inner tensors. A Squeeze of several axes
    is left as it is, and so is one of a size that varies.
    """
    import onnx

    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*graph.input, *graph.value_info)}
    constants = {value.name: value for value in graph.initializer}
    for node in graph.node:
        if node.op_type != "Squeeze" or len(node.input) < 2 or node.input[0] not in shapes:
            continue
        if node.input[1] not in constants:
            continue
        axes = np.ravel(onnx.numpy_helper.to_array(constants[node.input[1]])).tolist()
        sizes = shapes[node.input[0]]
        if len(axes) != 1 or not -len(sizes) <= axes[0] < len(sizes):
            continue
        size = sizes[axes[0]]
        if size.HasField("dim_value") and size.dim_value != 1:
            node.op_type = "Identity"
            del node.input[1:]

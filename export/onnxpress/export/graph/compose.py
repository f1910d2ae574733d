"""Pre- and post-processing written into the graph: each step of `core.processing` as ONNX nodes around the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.processing import Processing, Step
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph.signature import set_signature
from onnxpress.export.graph.steps import Fragment, write

if TYPE_CHECKING:
    import onnx

_OPSETS = {"ai.onnx.ml": 3, "com.microsoft": 1}
"""of the operators beside ONNX's own that steps need"""


def compose(
    network: onnx.ModelProto, processing: Processing, inputs: list[TensorSpec], outputs: list[TensorSpec]
) -> onnx.ModelProto:
    """`processing.before` → network → `processing.after` as one graph with the given inputs and outputs.

    The network's inner names get the prefix `network/`, so that they cannot meet a step's.
    """
    import onnx

    proto = onnx.compose.add_prefix(network, "network/", rename_inputs=False, rename_outputs=False)
    before, after = _fragments(processing.before), _fragments(processing.after)
    graph = proto.graph
    body = list(graph.node)
    del graph.node[:]
    for fragment in before:
        graph.node.extend(fragment.nodes)
    graph.node.extend(body)
    for fragment in after:
        graph.node.extend(fragment.nodes)
    for fragment in (*before, *after):
        graph.initializer.extend(fragment.constants)
    used = {node.domain for fragment in (*before, *after) for node in fragment.nodes}
    used -= {opset.domain for opset in proto.opset_import}
    for domain in sorted(used & _OPSETS.keys()):
        proto.opset_import.append(onnx.helper.make_opsetid(domain, _OPSETS[domain]))
    for values, specs in ((graph.input, inputs), (graph.output, outputs)):
        del values[:]
        values.extend(onnx.ValueInfoProto(name=spec.name) for spec in specs)
        set_signature(values, specs)
    return proto


def constants_of(processing: Processing) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    """What `compose` writes as initializers: name → array."""
    import onnx

    fragments = _fragments([*processing.before, *processing.after])
    return {v.name: onnx.numpy_helper.to_array(v) for fragment in fragments for v in fragment.constants}


def _fragments(steps: list[Step]) -> list[Fragment]:
    fragments = []
    for step in steps:
        fragment = Fragment(step.output)
        write(step, fragment)
        fragments.append(fragment)
    return fragments

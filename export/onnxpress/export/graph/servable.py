"""What no server could answer from: random nodes, training mode, custom operators."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from onnxpress.core.errors import BadModel, NotEquivalent
from onnxpress.export.graph.editing import nodes
from onnxpress.export.graph.layer_notes import layer_of

if TYPE_CHECKING:
    import onnx

_RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
_STANDARD = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""the domains of ONNX itself and of every build of ONNX Runtime"""
_SOURCES = {
    "ai.onnx.contrib": "the package onnxruntime-extensions",
    "ai.onnx.training": "ONNX Runtime's training builds",
    "ai.onnx.preview.training": "ONNX Runtime's training builds",
    "com.microsoft.": "ONNX Runtime's own optimiser: such a file fits one kind of machine only",
    "org.pytorch.": "a torch operation that has no ONNX form",
    "pkg.onnxscript.": "onnxscript, as a function whose body is missing",
    "ai.onnx.converters.tensorflow": "tf2onnx, for an operation of TensorFlow's that it has no form for",
    "trt.plugins": "TensorRT",
    "mmdeploy": "mmdeploy",
}


def refuse_unservable(proto: onnx.ModelProto, allowed: Collection[str] = ()) -> None:
    """Raise where the graph is random, in training mode, or uses custom operators.

    `allowed` names custom operators that may be used, as `domain:Name`; the runtime must know them.
    """
    for node in nodes(proto.graph):
        label = f"{node.op_type} node {node.name or node.output[0]!r}"
        if node.op_type in _RANDOM:
            raise NotEquivalent(f"the graph is random: {label}", hint="remove the sampling from the inference path")
        training = any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute)
        if training:
            raise NotEquivalent(f"the graph is in training mode: {label}", hint="export in eval mode, training=False")
    local = {(function.domain, function.name) for function in proto.functions}
    bodies = [node for function in proto.functions for node in function.node]
    foreign: dict[str, set[str]] = {}
    for node in (*nodes(proto.graph), *bodies):
        name = f"{node.domain}:{node.op_type}"
        if node.domain not in _STANDARD and (node.domain, node.op_type) not in local and name not in allowed:
            foreign.setdefault(name, set()).add(layer_of(node) or node.name or node.output[0])
    if foreign:
        listed = "; ".join(
            f"{name} (in {', '.join(sorted(places)[:3])}{_origin(name)})" for name, places in sorted(foreign.items())
        )
        raise BadModel(
            f"the graph needs custom operators: {listed}",
            hint="express them in standard operators; or, where the runtime that serves it knows them, allow them by "
            + " ".join(f"--allow-operator {name}" for name in sorted(foreign)),
        )


def _origin(operator: str) -> str:
    """Where the operators of a known foreign domain come from."""
    domain = operator.rpartition(":")[0]
    return next((f"; from {source}" for start, source in _SOURCES.items() if domain.startswith(start)), "")

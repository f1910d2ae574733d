"""What a node's metadata and name tell of the author's layer and line that it came from."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

LAYER = "onnxpress.layer"
"""a node's metadata: the author's name of the layer it came from"""
SOURCE = "onnxpress.source"
"""a node's metadata: file and line in the author's code"""
_SCOPES = "pkg.torch.onnx.name_scopes"
_STACK = "pkg.torch.onnx.stack_trace"


def note_of(node: onnx.NodeProto, key: str) -> str:
    """What the node's metadata say under `key`; empty where they say nothing."""
    return next((str(entry.value) for entry in node.metadata_props if entry.key == key), "")


def layer_of(node: onnx.NodeProto, layers: Collection[str] = ()) -> str | None:
    """The author's name of the layer that a node came from: torch's module path, Keras's layer name.

    Empty for the model's own code, None where nothing tells.
    """
    for entry in node.metadata_props:
        if entry.key == LAYER:
            return str(entry.value)
    if scopes := re.findall(r"'([^']*)'", note_of(node, _SCOPES)):
        # The last is the node itself; a scope that is no module is torch's own bookkeeping.
        return next((scope for scope in reversed(scopes[:-1]) if scope in layers or not layers), None)
    *parts, _ = node.name.split("/")
    if parts[:2] == ["", "module"]:  # torch's older exporter: /module/layers/layers.0/norm/Mul
        path = ""
        for part in parts[2:]:
            path = part if part.startswith(f"{path}.") or not path else f"{path}.{part}"
        return path
    # tf2onnx names a node after the traced scope: functional_1/dense_3_1/MatMul, the trailing _1 being the trace's own
    names = [(part, re.sub(r"_\d+$", "", part)) for part in parts]
    for part, stripped in reversed(names):
        if stripped in layers or part in layers:
            return stripped if stripped in layers else part
    return names[-1][1] if len(names) > 1 else None


def source_of(node: onnx.NodeProto) -> str | None:
    """`nets.py:12`: the innermost line of the author's own code in the exporter's stack trace, without its folder."""
    if known := note_of(node, SOURCE):
        return known
    frames = re.findall(r'File "([^"]+)", line (\d+)', note_of(node, _STACK))
    own = [(file, line) for file, line in frames if not re.search(r"(^|[/\\])(torch|onnxpress)[/\\]", file)]
    if not own:
        return None
    file, line = own[-1]
    return f"{PurePath(file).name}:{line}"

"""Weights beside the graph, as ONNX external data: from 1 GiB on, long before the 2 GiB that one message may hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onnxpress.core.version_folder import MODEL_FILE

if TYPE_CHECKING:
    import onnx

FILE = f"{MODEL_FILE}.data"
LARGE = 1 << 30
"""bytes of weights from which they are kept beside the graph, and handled one layer at a time where that is possible"""
_SMALL = 1024  # bytes of a tensor that stays in the graph: shapes and axes, which a reader of the graph wants to see
_HELD_IN_MEMORY = 64 << 20
"""bytes of a graph that is kept in a file while it is measured: memory holds the weights several times already"""


def put_beside(proto: onnx.ModelProto, folder: Path, *, above: int) -> None:
    """Move the weights into `folder`/FILE where they are more than `above` bytes and not there yet."""
    import onnx
    from onnx.external_data_helper import convert_model_to_external_data, write_external_data_tensors

    if is_beside(proto) or sum(len(value.raw_data) for value in proto.graph.initializer) <= above:
        return
    convert_model_to_external_data(proto, location=FILE, size_threshold=_SMALL)
    moved = write_external_data_tensors(proto, str(folder))
    assert isinstance(moved, onnx.ModelProto)


def is_beside(proto: onnx.ModelProto) -> bool:
    """Whether any weight is only referred to."""
    import onnx

    return any(value.data_location == onnx.TensorProto.EXTERNAL for value in proto.graph.initializer)


def loadable(proto: onnx.ModelProto, folder: Path) -> bytes | Path:
    """What the engine can load: the graph itself, or its file in `folder` where it is large, or the weights are."""
    content = proto.SerializeToString(deterministic=True)
    if len(content) < _HELD_IN_MEMORY and not is_beside(proto):
        return content
    path = folder / MODEL_FILE
    path.write_bytes(content)
    return path


def check(proto: onnx.ModelProto, folder: Path) -> None:
    """onnx.checker on the graph; with weights beside it by its file, as the checker looks for them from there."""
    import onnx

    onnx.checker.check_model(str(loadable(proto, folder)) if is_beside(proto) else proto)

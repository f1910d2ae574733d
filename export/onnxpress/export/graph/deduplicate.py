"""One copy of each weight: converters write one that two layers share, or a constant used twice, more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_LARGEST = 1 << 31  # bytes of a tensor that is still looked at; the library's own default skips all but scalars


def deduplicated(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with equal initializers merged and unused ones gone, by onnx_ir's passes; itself where none are."""
    import onnx_ir
    from onnx_ir.passes.common import DeduplicateHashedInitializersPass, RemoveUnusedNodesPass

    model = onnx_ir.from_proto(proto)
    changed = DeduplicateHashedInitializersPass(size_limit=_LARGEST)(model).modified
    changed = RemoveUnusedNodesPass()(model).modified or changed
    return onnx_ir.to_proto(model) if changed else proto

"""The same precision in a leaner graph: ONNX Runtime's offline optimiser at the level that fits every machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def slimmed(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy as the runtime writes it after its basic optimisations: folded constants, no node without use.

    Higher levels write operators of this one processor. ONNX Runtime's mobile format is left out.
    """
    import onnx

    from onnxpress.serving.engine.runtime import onnxruntime

    runtime = onnxruntime()
    with tempfile.TemporaryDirectory(prefix="onnxpress-derive-") as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(graph, before)
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(after)
        runtime.InferenceSession(str(before), options, providers=["CPUExecutionProvider"])
        return onnx.load(after)

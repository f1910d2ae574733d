"""Which opsets and which IR version are written."""

from __future__ import annotations

OPSET = 18
"""what is written unless another is asked for: tf2onnx goes no further, and every runtime in use loads it"""
OPSETS = range(18, 23)
"""torch's exporter and our own steps start at 18; from 23 on an IR version is needed that few runtimes load"""
MAX_IR_VERSION = 10

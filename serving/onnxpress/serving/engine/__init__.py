"""The engine: an ONNX Runtime session with its contract, self-tested before it answers; export measures with it."""

from onnxpress.serving.engine.engine import Engine, SelfTest
from onnxpress.serving.engine.sessions import plain

__all__ = ["Engine", "SelfTest", "plain"]

"""The engine: an ONNX Runtime session with its contract, self-tested before it answers; export measures with it."""

from onnxpress.serving.engine.engine import Engine
from onnxpress.serving.engine.self_tests import SelfTest
from onnxpress.serving.engine.sessions import Down, plain

__all__ = ["Down", "Engine", "SelfTest", "plain"]

"""An ONNX graph computed by numpy, without any runtime."""

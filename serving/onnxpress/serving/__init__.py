"""The inference server and its engine: ONNX Runtime, with no training framework installed."""

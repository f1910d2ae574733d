"""What is done to an ONNX graph, whichever converter wrote it."""

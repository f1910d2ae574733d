"""Models side by side: how long they train, answer and load, in their framework, compiled, and in ONNX Runtime."""

"""An .onnx file read as a torch module's Blocks."""

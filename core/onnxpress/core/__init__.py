"""The shared ground of onnxpress: vocabulary, file formats and errors; no framework and no ONNX Runtime."""

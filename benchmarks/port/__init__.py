"""What `onnxpress port` carries, counted over several families of models, and judged by code of its own."""

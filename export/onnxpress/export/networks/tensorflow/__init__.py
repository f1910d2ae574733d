"""Keras models and TensorFlow functions, and what stands around tf2onnx."""

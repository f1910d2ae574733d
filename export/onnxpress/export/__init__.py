"""From a trained model to a published ONNX version whose equivalence was measured."""

"""What can be asked for by path: the V2 protocol with its extensions, TensorFlow Serving's REST API, and metrics."""

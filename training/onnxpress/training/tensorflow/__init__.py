"""The TensorFlow half of training: models and the fit loop. Only this package imports tensorflow and keras."""

import os

from onnxpress.core.captured import captured

# TensorFlow writes to stderr while it is imported, whatever its log level says; so it is imported here, once, quietly.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with captured():
    import tensorflow  # noqa: F401

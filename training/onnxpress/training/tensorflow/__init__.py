"""The TensorFlow half of training: models and the fit loop. Only this package imports tensorflow and keras."""

import os

from onnxpress.core.captured import captured

# All before the first import: the log level is read once, Keras chooses its backend once (and a user's own choice for
# other work must not break this one), and what TensorFlow still writes on import goes past its own log level.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
with captured(descriptors_only=True):
    import tensorflow  # noqa: F401

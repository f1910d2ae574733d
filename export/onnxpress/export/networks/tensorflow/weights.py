"""Weights of a Keras model that lie in a file of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress.core.errors import BadModel


def load_weights(model: Any, path: Path) -> None:
    """Load `.weights.h5` into a built model. Raises BadModel naming what does not fit."""
    try:
        model.load_weights(path)
    except Exception as error:
        raise BadModel(f"the weights do not fit the model: {error}", where=str(path)) from error

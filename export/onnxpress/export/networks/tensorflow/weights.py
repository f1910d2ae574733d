"""Weights of a Keras model that lie in a file of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress.core.errors import BadModel
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.networks.tensorflow.calling import how_called, named_specs
from onnxpress.export.networks.tensorflow.structure import blank, tensor


def load_weights(model: Any, path: Path, inputs: Sequence[TensorSpec] = (), given: Any = None) -> None:
    """Load `.weights.h5` into a model; one that has no weights before its first call is called with blank inputs.

    Those are of `inputs`, or of what it is `given` for an example. Raises BadModel naming what does not fit.
    """
    try:
        inputs = inputs or ([] if given is None else named_specs(given))
        if inputs and not model.built:
            tensors = [tensor(spec, blank(spec), "float32") for spec in inputs]
            how_called(model, [spec.name for spec in inputs], tensors, given)(model, tensors, False)
        model.load_weights(path)
    except Exception as error:
        raise BadModel(f"the weights do not fit the model: {error}", where=str(path)) from error

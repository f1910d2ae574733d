"""NaN and infinity in an input whose signature refuses them: the original answers them otherwise, or not at all."""

from __future__ import annotations

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec


def refused(spec: TensorSpec, values: Array) -> str:
    """What is wrong with the float values of `spec`; empty where nothing is.

    >>> spec = TensorSpec(name="x", dtype="float32", shape=("batch",), refuses=("nan",))
    >>> refused(spec, np.array([1.0, np.nan], np.float32))
    "the input 'x' holds NaN; this model answers it otherwise than its original does"
    """
    if not spec.refuses or values.dtype.kind != "f" or np.isfinite(values).all():
        return ""
    for special, name, there in (("nan", "NaN", np.isnan(values)), ("infinity", "an infinity", np.isinf(values))):
        if special in spec.refuses and there.any():
            return f"the input {spec.name!r} holds {name}; this model answers it otherwise than its original does"
    return ""

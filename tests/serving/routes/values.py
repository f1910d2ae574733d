"""Three values of every datatype, the outermost among them: what is asked of a model that answers what it is given."""

from __future__ import annotations

import numpy as np

from onnxpress.core.arrays import Array

VALUES: dict[str, Array] = {
    "bool": np.array([[True, False, True]]),
    "uint8": np.array([[0, 7, 255]], np.uint8),
    "uint16": np.array([[0, 300, 65535]], np.uint16),
    "uint32": np.array([[0, 1, 2**32 - 1]], np.uint32),
    "uint64": np.array([[0, 2**63, 2**64 - 1]], np.uint64),
    "int8": np.array([[-128, 0, 127]], np.int8),
    "int16": np.array([[-(2**15), 0, 300]], np.int16),
    "int32": np.array([[-(2**31), -1, 2**31 - 1]], np.int32),
    "int64": np.array([[-(2**63), -1, 2**63 - 1]], np.int64),
    "float16": np.array([[-1.5, 0, 65504]], np.float16),
    "bfloat16": np.array([[-1.5, 0, 256]], np.float32),
    "float32": np.array([[-1.5, np.nan, 1e38]], np.float32),
    "float64": np.array([[-1.5, np.inf, 1e300]]),
    "string": np.array([["", "ß", "long" * 100]], object),
}
"""dtype → values of shape (1, 3)"""

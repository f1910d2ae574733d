"""The numpy arrays that stand for a model's tensors outside the runtime."""

from __future__ import annotations

_DTYPES = {"string": "object", "bfloat16": "float32"}


def array_dtype(dtype: str) -> str:
    """The numpy dtype of the arrays that hold such a tensor: Python's str for strings, float32 for bfloat16.

    >>> array_dtype("bfloat16"), array_dtype("int8")
    ('float32', 'int8')
    """
    return _DTYPES.get(dtype, dtype)

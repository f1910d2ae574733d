"""The ONNX operators in which our own forms of torch's operators are written."""

from __future__ import annotations

from typing import Any

import onnxscript

OPSET = 18
op = onnxscript.values.Opset("", OPSET)


def ints(*numbers: int) -> Any:
    """A constant tensor of int64 with these numbers, of one axis: `ints(0, 2)`."""
    return op.Constant(value_ints=list(numbers))

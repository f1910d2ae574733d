"""Batch norms are folded into the layer before them in float64, and rounded once.

torch's exporter folds them in float32: (bias - mean) * factor + beta and weight * gamma / sqrt(variance + epsilon) are
rounded at every step. Each channel is then off by some units in the last place, all its weights in the same direction.
In a deep network that adds up to more than float32's own noise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def folded_in_double() -> Iterator[None]:
    """While a module is exported, onnxscript's rules that fold batch norms are given float64, and answer as before."""
    from onnxscript.rewriter.rules import common

    rules: list[Any] = [
        common.fuse_batchnorm_into_conv_rule,
        common.fuse_batchnorm_into_conv_transpose_rule,
        common.fuse_batchnorm_into_gemm_rule,
    ]
    patterns = [rule._replacement_pattern for rule in rules]
    originals = [pattern._function for pattern in patterns]
    for pattern, original in zip(patterns, originals, strict=True):
        pattern._function = _widened(original)
    try:
        yield
    finally:
        for pattern, original in zip(patterns, originals, strict=True):
            pattern._function = original


def _widened(fold: Callable[..., Any]) -> Callable[..., Any]:
    """The same fold, its constants in float64; what it makes of them is rounded to float32."""
    from onnxscript import ir

    def folded(op: Any, x: Any, inbound_out: Any, batchnorm_out: Any) -> Any:
        nodes = (inbound_out.producer(), batchnorm_out.producer())
        own = {value: value.const_value for node in nodes for value in node.inputs[1:] if value is not None}
        if any(tensor.dtype != ir.DataType.FLOAT for tensor in own.values()):
            return fold(op, x=x, inbound_out=inbound_out, batchnorm_out=batchnorm_out)
        try:
            for value, tensor in own.items():
                value.const_value = ir.tensor(tensor.numpy().astype(np.float64), name=tensor.name)
            answer = fold(op, x=x, inbound_out=inbound_out, batchnorm_out=batchnorm_out)
        finally:
            for value, tensor in own.items():
                value.const_value = tensor
        for value in answer.producer().inputs[1:]:
            rounded = ir.tensor(value.const_value.numpy().astype(np.float32), name=value.name)
            value.const_value, value.dtype = rounded, rounded.dtype
        return answer

    return folded

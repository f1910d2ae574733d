"""Operators in which ONNX Runtime 1.31 kills the whole process when a tensor of no values reaches them.

Found by asking 1,316 models of the `onnx` package's node cases 11,794 questions with one size or another set to 0: GRU
and LSTM abort, ConvTranspose is a segmentation fault, Attention and STFT divide by zero. Every other one answered, or
raised. A test asks them again, so that a runtime that is mended shows itself.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from onnxpress.serving.engine import external_data

OPERATORS = ("Attention", "ConvTranspose", "GRU", "LSTM", "STFT")
"""names, or their ends: the runtime's own MultiHeadAttention or DynamicQuantizeLSTM are made of the same code"""

# NodeProto.op_type is field 4: a byte that marks it as text, one for its length, and the name.
_OP_TYPE = re.compile(rb"\x22([\x03-\x40])([A-Za-z]{0,40}?(?:%b))" % "|".join(OPERATORS).encode())


def when_empty(model: Path | bytes) -> tuple[str, ...]:
    """The names of such operators in a model file or a serialized model, in any of its graphs; sorted.

    Weights may hold the same bytes by chance, once in hundreds of gigabytes.
    """
    if isinstance(model, bytes):
        return _named(model)
    with external_data.mapped(model) as content:
        return _named(content)


def _named(content: bytes | mmap.mmap) -> tuple[str, ...]:
    found = {match[2] for match in _OP_TYPE.finditer(content) if match[1][0] == len(match[2])}
    return tuple(sorted(name.decode() for name in found))

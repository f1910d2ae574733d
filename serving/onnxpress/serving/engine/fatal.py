"""Operators in which ONNX Runtime 1.31 kills the whole process when a tensor of no values reaches them.

Found by asking 1,316 models of the `onnx` package's node cases 11,794 questions with one size or another set to 0: GRU
and LSTM abort, ConvTranspose is a segmentation fault, Attention and STFT divide by zero. Every other one answered, or
raised. A test asks them again, so that a runtime that is mended shows itself.
"""

from __future__ import annotations

from onnxpress.core.onnx_graph import Model

OPERATORS = ("Attention", "ConvTranspose", "GRU", "LSTM", "STFT")
"""names, or their ends: the runtime's own MultiHeadAttention or DynamicQuantizeLSTM are made of the same code"""


def when_empty(model: Model) -> tuple[str, ...]:
    """The names of such operators in any of the model's graphs; sorted."""
    # Looking into every attribute of a forest for graphs would cost more than to look for the names.
    if not any(model.holds(name.encode()) for name in OPERATORS):
        return ()
    return tuple(sorted({node.operator for node in model.all_nodes() if node.operator.endswith(OPERATORS)}))

"""LSTM and GRU over sequences of any length, while torch.onnx.export traces and decomposes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def any_length() -> Iterator[None]:
    """While open, torch says the shape of what they answer for every length.

    torch 2.13 does so itself while it captures a module, and no more while it decomposes the capture: there the answer
    is as long as the example. onnxscript then writes that length into the Reshape between two recurrent layers.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):  # a torch that captures them otherwise
            from torch.export._patches import (
                register_gru_while_loop_decomposition,
                register_lstm_while_loop_decomposition,
            )

            stack.enter_context(register_lstm_while_loop_decomposition())
            stack.enter_context(register_gru_while_loop_decomposition())
        yield

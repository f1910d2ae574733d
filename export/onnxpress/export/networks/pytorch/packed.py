"""Recurrent layers over packed sequences of which only the last state is used.

The older exporter takes a packed sequence away together with its padding back, and fails where there is no such.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence


def pad_back(module: torch.nn.Module) -> None:
    """Let the recurrent layers of a copy pad back what they answer for packed sequences; it stays the same."""
    for part in module.modules():
        if isinstance(part, torch.nn.RNNBase):
            part.register_forward_hook(_padded)


def _padded(_: torch.nn.Module, __: Any, answer: Any) -> Any:
    """0 times the first step is added to the last state, (layers, batch, hidden), so that the padded steps are used."""
    steps, state = answer
    if not isinstance(steps, PackedSequence):
        return answer
    nothing = 0 * pad_packed_sequence(steps, batch_first=True)[0][:, 0, :1].unsqueeze(0)
    return steps, tuple(one + nothing for one in state) if isinstance(state, tuple) else state + nothing

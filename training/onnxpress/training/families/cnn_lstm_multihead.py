"""A CNN with an LSTM and multi-head attention, for windows.

window → unit → magnitude → convolutions and pooling → bidirectional LSTM → multi-head self-attention (Vaswani et al.
2017) → mean over time → dense → classes
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from onnxpress.training.families.sizes import dense_parameters
from onnxpress.training.families.windowed import WindowFamily

_Units = Annotated[int, msgspec.Meta(ge=1, le=65536)]
_Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class CnnLstmMultihead(
    WindowFamily,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="family",
    tag="cnn-lstm-multihead",
):
    """The spec of the network, the same for both frameworks.

    Each convolution (equal padding) is followed by batch norm, ReLU and max pooling by `pool`. What the attention
    answers is added to what it was given, and the sum is layer-normalised. Dense layers have ReLU, and dropout.
    """

    NETWORK: ClassVar[str] = "cnn_lstm_multihead"

    convolutions: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (32, 64)
    """filters of each convolution"""
    kernel: _Units = 5
    """width of the convolutions, in samples"""
    pool: _Units = 2
    """samples that max pooling makes one of, after each convolution"""
    lstm: _Units = 32
    """units of the LSTM in each direction"""
    heads: _Units = 4
    """of the attention; they divide the 2 × lstm values of a step"""
    dense: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (32,)
    """units of each dense layer"""
    dropout: _Rate = 0.3
    """share of the values that are set to zero in training, after each dense layer"""
    epsilon: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    """what batch norm and layer norm add to the variance"""
    momentum: _Rate = 0.9
    """share of the old statistics that batch norm keeps at each step, as Keras counts it"""

    def __post_init__(self) -> None:
        if 2 * self.lstm % self.heads:
            raise ValueError(f"{self.heads} heads do not divide the {2 * self.lstm} values of a step")

    @property
    def smallest_window(self) -> int:
        """The shortest sequence that the pooling leaves one step of."""
        return int(self.pool ** len(self.convolutions))

    def network(self, *, length: int, channels: int, classes: int) -> dict[str, Any]:
        """The settings of the network's factory in either framework, for (batch, length, channels) windows."""
        return {
            "length": length,
            "channels": channels,
            "convolutions": list(self.convolutions),
            "kernel": self.kernel,
            "pool": self.pool,
            "lstm": self.lstm,
            "heads": self.heads,
            "dense": list(self.dense),
            "dropout": self.dropout,
            "classes": classes,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
        }

    def parameters(self, *, length: int, channels: int, classes: int) -> int:
        """Convolutions, norms, LSTM 2 × 4 × units × (inputs + units + 1), four projections of the attention, dense."""
        total, inputs = 0, channels
        for filters in self.convolutions:
            total += (self.kernel * inputs + 1) * filters + 2 * filters
            inputs = filters
        total += 2 * 4 * self.lstm * (inputs + self.lstm + 1)
        inputs = 2 * self.lstm
        total += 4 * (inputs + 1) * inputs + 2 * inputs
        return total + dense_parameters(inputs, *self.dense, classes)

"""The 1-D CNN of 14 convolutions that sees seizures in a wrist accelerometer's windows, and its smaller variants.

After Spahr et al., Epilepsia 2025, doi 10.1111/epi.18406. window → unit → magnitude → convolutions → mean over time →
dense → classes
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from onnxpress.training.families.windowed import WindowFamily

_Units = Annotated[int, msgspec.Meta(ge=1, le=65536)]
_Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Cnn14(WindowFamily, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="cnn14"):
    """The spec of the network, the same for both frameworks.

    Each convolution (valid padding) and dense layer is followed by batch norm and ReLU; dropout after the first dense.
    The plain variant has three filters and no stride: `filters: [16, 32, 64]`, `stride_every: 0`.
    """

    NETWORK: ClassVar[str] = "cnn14"

    filters: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (16, *[32] * 11, 64, 64)
    """of each convolution"""
    kernel: _Units = 5
    """width of the convolutions, in samples"""
    stride_every: Annotated[int, msgspec.Meta(ge=0)] = 5
    """every so many convolutions one has stride 2; 0: none"""
    strides: tuple[_Units, ...] | None = None
    """of each convolution, in place of stride_every"""
    dropouts: tuple[_Rate, ...] | None = None
    """share of the values that are set to zero in training after each convolution; default: none"""
    dense: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (64, 64, 32, 16)
    """units of each dense layer"""
    dropout: _Rate = 0.5
    """share of the values that are set to zero in training, after the first dense layer"""
    epsilon: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    """what batch norm adds to the variance"""
    momentum: _Rate = 0.9
    """share of the old statistics that batch norm keeps at each step, as Keras counts it"""

    def __post_init__(self) -> None:
        for name, given in (("strides", self.strides), ("dropouts", self.dropouts)):
            if given is not None and len(given) != len(self.filters):
                raise ValueError(f"{len(given)} {name} for {len(self.filters)} convolutions")

    @property
    def smallest_window(self) -> int:
        """The shortest sequence that the valid convolutions leave one step of: 125 for the fourteen."""
        length = 1
        for number in range(len(self.filters), 0, -1):
            length = (length - 1) * self._stride(number) + self.kernel
        return length

    def _stride(self, number: int) -> int:
        if self.strides is not None:
            return self.strides[number - 1]
        return 2 if self.stride_every and number % self.stride_every == 0 else 1

    def network(self, *, length: int, channels: int, classes: int) -> dict[str, Any]:
        """The settings of the network's factory in either framework, for (batch, length, channels) windows."""
        own = {"strides": self.strides, "dropouts": self.dropouts}
        return {
            "length": length,
            "channels": channels,
            "filters": list(self.filters),
            "kernel": self.kernel,
            "stride_every": self.stride_every,
            "dense": list(self.dense),
            "dropout": self.dropout,
            "classes": classes,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
            **{name: list(given) for name, given in own.items() if given is not None},
        }

    def parameters(self, *, length: int, channels: int, classes: int) -> int:
        """Convolutions (kernel × inputs + 1) × filters, dense layers (inputs + 1) × units, norms 2 a channel."""
        total = 0
        for filters in self.filters:
            total += (self.kernel * channels + 1) * filters + 2 * filters
            channels = filters
        for units in self.dense:
            total += (channels + 1) * units + 2 * units
            channels = units
        return total + (channels + 1) * classes

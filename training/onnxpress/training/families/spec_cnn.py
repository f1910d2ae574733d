"""A 2-D CNN that looks at a window's spectrogram as at a picture.

window → unit → magnitude → spectrogram → logarithm → convolutions over time and frequency → mean → dense → classes
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from onnxpress.training.families.sizes import dense_parameters
from onnxpress.training.families.windowed import SpectrogramSettings, WindowFamily

_Units = Annotated[int, msgspec.Meta(ge=1, le=65536)]
_Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class SpecCnn(WindowFamily, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="spec-cnn"):
    """The spec of the network, the same for both frameworks.

    log(1 + x) of the spectrogram, then 2-D convolutions with equal padding, each followed by batch norm, ReLU and max
    pooling by 2 over time and frequency; the mean over both; dense layers with ReLU, and dropout after the first.
    """

    NETWORK: ClassVar[str] = "spec_cnn"

    spectrogram: SpectrogramSettings = SpectrogramSettings()
    """its pieces"""
    filters: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (16, 32, 64)
    """of each convolution"""
    kernel: _Units = 3
    """width of the convolutions, in pieces and in frequencies"""
    dense: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (32,)
    """units of each dense layer"""
    dropout: _Rate = 0.3
    """share of the values that are set to zero in training, after the first dense layer"""
    epsilon: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    """what batch norm adds to the variance"""
    momentum: _Rate = 0.9
    """share of the old statistics that batch norm keeps at each step, as Keras counts it"""

    def __post_init__(self) -> None:
        bins = self.spectrogram.window // 2 + 1
        if bins < self.smallest_window:
            raise ValueError(
                f"{len(self.filters)} convolutions need {self.smallest_window} frequencies, and a spectrogram of "
                f"{self.spectrogram.window} samples has {bins}"
            )

    @property
    def smallest_window(self) -> int:
        """The fewest pieces that the pooling leaves one of."""
        return int(2 ** len(self.filters))

    def network(self, *, length: int, channels: int, classes: int) -> dict[str, Any]:
        """The settings of the network's factory in either framework, for (batch, length, axes × frequencies)."""
        bins = self.spectrogram.window // 2 + 1
        return {
            "length": length,
            "axes": channels // bins,
            "bins": bins,
            "filters": list(self.filters),
            "kernel": self.kernel,
            "dense": list(self.dense),
            "dropout": self.dropout,
            "classes": classes,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
        }

    def parameters(self, *, length: int, channels: int, classes: int) -> int:
        """Convolutions (kernel² × inputs + 1) × filters with norms of 2 each, dense layers (inputs + 1) × units."""
        inputs, total = channels // (self.spectrogram.window // 2 + 1), 0
        for filters in self.filters:
            total += (self.kernel**2 * inputs + 1) * filters + 2 * filters
            inputs = filters
        return total + dense_parameters(inputs, *self.dense, classes)

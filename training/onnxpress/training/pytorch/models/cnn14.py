"""The CNN over windows of motion in PyTorch. Read beside the Keras one."""

from __future__ import annotations

from torch import Tensor, nn

from onnxpress.training.pytorch.layers import batch_norm, convolution, dense


class Cnn(nn.Module):
    """Convolutions over time, their mean, dense layers; see families.Cnn14."""

    def __init__(
        self,
        *,
        channels: int,
        filters: list[int],
        kernel: int,
        stride_every: int,
        dense_units: list[int],
        dropout: float,
        classes: int,
        epsilon: float,
        momentum: float,
    ) -> None:
        super().__init__()
        self.convolutions = nn.Sequential()
        for number, count in enumerate(filters, 1):
            stride = 2 if stride_every and number % stride_every == 0 else 1
            self.convolutions.add_module(f"conv_{number}", convolution(channels, count, kernel, stride=stride))
            self.convolutions.add_module(f"conv_norm_{number}", batch_norm(count, epsilon=epsilon, momentum=momentum))
            self.convolutions.add_module(f"conv_relu_{number}", nn.ReLU())
            channels = count
        self.head = nn.Sequential()
        for number, units in enumerate(dense_units, 1):
            self.head.add_module(f"dense_{number}", dense(channels, units))
            self.head.add_module(f"dense_norm_{number}", batch_norm(units, epsilon=epsilon, momentum=momentum))
            self.head.add_module(f"dense_relu_{number}", nn.ReLU())
            if number == 1:
                self.head.add_module("dropout", nn.Dropout(dropout))
            channels = units
        self.head.add_module("logits", dense(channels, classes))

    def forward(self, windows: Tensor) -> Tensor:
        """(batch, length, channels) float32 → logits (batch, classes)."""
        over_time = self.convolutions(windows.transpose(1, 2))
        result: Tensor = self.head(over_time.mean(dim=2))
        return result


def build(
    length: int,
    channels: int,
    filters: list[int],
    kernel: int,
    stride_every: int,
    dense: list[int],
    dropout: float,
    classes: int,
    epsilon: float,
    momentum: float,
) -> nn.Module:
    """A fresh network, windows (batch, length, channels) float32 → logits (batch, classes)."""
    del length  # torch does not have to know
    return Cnn(
        channels=channels,
        filters=filters,
        kernel=kernel,
        stride_every=stride_every,
        dense_units=dense,
        dropout=dropout,
        classes=classes,
        epsilon=epsilon,
        momentum=momentum,
    )

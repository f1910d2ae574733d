"""The 1-D CNN for windows of motion in PyTorch: valid convolutions, mean over time, dense. Read beside the Keras one.

After Spahr et al., Epilepsia 2025, doi 10.1111/epi.18406.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from onnxpress.training.pytorch.models import layers


class Network(nn.Module):
    """windows (batch, length, channels) float32 → logits (batch, classes) float32."""

    def __init__(self, convolutions: nn.Sequential, head: nn.Sequential) -> None:
        super().__init__()
        self.convolutions, self.head = convolutions, head

    def forward(self, windows: Tensor) -> Tensor:
        x = self.convolutions(windows.transpose(1, 2))
        return self.head(x.mean(dim=2))


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
    strides: list[int] | None = None,
    dropouts: list[float] | None = None,
) -> nn.Module:
    """A fresh network, windows (batch, length, channels) float32 → logits (batch, classes) float32.

    Every `stride_every`-th convolution has stride 2 (0: none), or each its own of `strides`; batch norm and ReLU after
    each convolution, and where given one of `dropouts`; batch norm and ReLU after each of the `dense` layers,
    `dropout` after the first of these. See families.Cnn14.
    """
    sizes = {"epsilon": epsilon, "momentum": momentum}
    x, y = OrderedDict[str, nn.Module](), OrderedDict[str, nn.Module]()
    inputs = channels
    for number, units in enumerate(filters):
        stride = 2 if stride_every and (number + 1) % stride_every == 0 else 1
        stride = strides[number] if strides else stride
        x[f"convolution_{number}"] = layers.convolution(inputs, units, kernel, stride=stride)
        x[f"convolution_norm_{number}"] = layers.batch_norm(units, **sizes)
        x[f"convolution_relu_{number}"] = nn.ReLU()
        if dropouts and dropouts[number]:
            x[f"convolution_dropout_{number}"] = nn.Dropout(dropouts[number])
        inputs = units
    for number, units in enumerate(dense):
        y[f"dense_{number}"] = layers.dense(inputs, units)
        y[f"dense_norm_{number}"] = layers.batch_norm(units, **sizes)
        y[f"dense_relu_{number}"] = nn.ReLU()
        if number == 0:
            y["dropout"] = nn.Dropout(dropout)
        inputs = units
    y["logits"] = layers.dense(inputs, classes)
    return Network(nn.Sequential(x), nn.Sequential(y))

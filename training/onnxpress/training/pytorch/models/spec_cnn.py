"""The 2-D CNN for spectrograms in PyTorch. Read beside the Keras one."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from onnxpress.training.pytorch.models import layers


class Network(nn.Module):
    """spectrogram (batch, length, axes × bins) float32 → logits (batch, classes) float32."""

    def __init__(self, axes: int, bins: int, convolutions: nn.Sequential, head: nn.Sequential) -> None:
        super().__init__()
        self.axes, self.bins = axes, bins
        self.convolutions, self.head = convolutions, head

    def forward(self, spectrogram: Tensor) -> Tensor:
        picture = torch.log(spectrogram + 1).unflatten(-1, (self.axes, self.bins)).transpose(1, 2)
        return self.head(self.convolutions(picture).mean(dim=(2, 3)))


def build(
    length: int,
    axes: int,
    bins: int,
    filters: list[int],
    kernel: int,
    dense: list[int],
    dropout: float,
    classes: int,
    epsilon: float,
    momentum: float,
) -> nn.Module:
    """A fresh network, spectrogram (batch, length, axes × bins) float32 → logits (batch, classes) float32.

    Batch norm, ReLU and max pooling by 2 after each convolution over time and frequency; `dropout` after the first of
    the `dense` layers. See families.SpecCnn.
    """
    x, y = OrderedDict[str, nn.Module](), OrderedDict[str, nn.Module]()
    inputs = axes
    for number, units in enumerate(filters):
        x[f"convolution_{number}"] = layers.convolution_2d(inputs, units, kernel)
        x[f"convolution_norm_{number}"] = layers.batch_norm_2d(units, epsilon=epsilon, momentum=momentum)
        x[f"convolution_relu_{number}"] = nn.ReLU()
        x[f"pool_{number}"] = nn.MaxPool2d(2)
        inputs = units
    for number, units in enumerate(dense):
        y[f"dense_{number}"] = layers.dense(inputs, units)
        y[f"dense_relu_{number}"] = nn.ReLU()
        if number == 0:
            y["dropout"] = nn.Dropout(dropout)
        inputs = units
    y["logits"] = layers.dense(inputs, classes)
    return Network(axes, bins, nn.Sequential(x), nn.Sequential(y))

"""Kinds of torch code that once were refused, or written badly, are carried: answers, parameters and the code."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.export.port.formatting import assert_formatted
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from onnxpress.export.port.draft import Draft
from onnxpress.export.port.proof.gradients import gradients
from onnxpress.export.port.proof.parameters import parameters
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


class States(nn.Module):
    """One LSTM begins where another ends; the first at zeros that are written out."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 4, num_layers=2, batch_first=True)
        self.decoder = nn.LSTM(3, 4, num_layers=2, batch_first=True)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        zeros = torch.zeros(2, x.size(0), 4)
        _, (hidden, cell) = self.encoder(x, (zeros, zeros))
        return self.decoder(y, (hidden, cell))[0]


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return torch.cat(list(self.rnn(packed)[1]), dim=1)


class Residual(nn.Module):
    """A class of which the model has three sizes."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inside, outside, 3, padding=1)
        self.skip = weight_norm(nn.Conv1d(inside, outside, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.conv(x)) + self.skip(x)


class Pools(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.up = nn.Upsample(size=(7, 9), mode="bilinear", align_corners=True)
        self.grow = nn.ConvTranspose2d(2, 3, 3, 2, padding=1, output_padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.grow(self.up(self.pool(x)))


class LongLines(nn.Module):
    """Products and sums that do not fit one line."""

    def __init__(self) -> None:
        super().__init__()
        self.a_rather_long_name_of_a_table = nn.Parameter(torch.randn(4, 4))
        self.another_rather_long_name = nn.Parameter(torch.randn(4))

    def forward(self, measured_values: torch.Tensor) -> torch.Tensor:
        projected_values = functional.linear(
            measured_values, self.a_rather_long_name_of_a_table, self.another_rather_long_name
        )
        return (projected_values * measured_values - projected_values * 3 + measured_values / 7 - measured_values) ** 2


class Masked(nn.Module):
    """A variable is used anew while a size of what it held is still to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 3)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mask = padding = mask.to(torch.bool)
        count = padding.shape[0]
        mask = torch.logical_and(self.table(ids).sum((0, 2)) > -9, mask.any(0))
        return torch.where(mask.expand(count, 4), 1.0, -2.0)


class Pooled(nn.Module):
    """A block of the author's own, in whichever precision it is put."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = functional.dropout(torch.softmax(x.sum(-1), 1), 0.1, self.training)
        return self.head((self.rnn(x)[0] * weights[..., None]).sum(1))


class Around(nn.Module):
    """Float64 outside, float32 inside, and in it a layer in float16 and weights that are stored so."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.7e9, 5e4, 0.0], dtype=torch.float64))
        self.narrow = nn.Linear(3, 4).half()
        self.stored = nn.Parameter(torch.randn(4, 2).half())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = ((x - self.mean) / 1000).float()
        return self.narrow(x.half()).float() @ self.stored.float()


class Projected(nn.Module):
    """An LSTM that feeds less back than it remembers, and answers too long for one line."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True, proj_size=2, dropout=0.1)

    def forward(self, x: torch.Tensor) -> Any:
        states, (hidden, cell) = self.rnn(x)
        return states[:, -1], hidden, cell


class Hidden(nn.Module):
    """What is hidden from a softmax is the lowest number that there is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x.masked_fill(x < 0, torch.finfo(x.dtype).min), -1)


class Patches(nn.Module):
    """Answers plain numbers beside a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, 4, 2, 2)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.proj(x)
        return x.flatten(2).transpose(1, 2), (x.shape[2], x.shape[3]), None


class Waves(nn.Module):
    """Takes a size alone, and answers two tables."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(4))

    def forward(self, length: int) -> Any:
        angles = torch.arange(length).float()[:, None] * self.scale
        return angles.cos(), angles.sin()


class Turned(nn.Module):
    """Takes a tuple of tensors, and a size beside them."""

    def forward(self, x: torch.Tensor, waves: Any, rows: int) -> torch.Tensor:
        cosine, sine = waves
        return torch.ones(rows, 1, 1) + x * cosine + x.flip(-1) * sine


class Mixes(nn.Module):
    """Blocks that take and answer tuples, numbers and sizes; each row's own place; one dropout twice."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.waves, self.turned = Patches(), Waves(), Turned()
        self.embed = nn.Embedding(9, 4)
        self.drop = nn.Dropout(0.1)

    def forward(self, image: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        image, (height, width), _ = self.patches(image)
        image = self.drop(image).mean(1) / (height * width)
        x = self.turned(self.embed(ids), self.waves(ids.shape[1]), ids.shape[0])
        return self.drop(x)[torch.arange(x.shape[0]), ids.argmax(-1)] + image


class Gated(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 2, dilation=dilation)
        self.dilation = dilation

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.tanh(self.conv(functional.pad(x, (self.dilation, 0))))
        return x + y, y


class Skips(nn.Module):
    """Blocks that differ in a size which their `forward` reads too, each with two answers, of which one is summed."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Gated(1), Gated(2), Gated(4)])

    def forward(self, x: torch.Tensor) -> Any:
        skips: Any = 0
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip
        return functional.relu(skips)


class Cut(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x[:, :, : -self.size])


class Unfolded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unfold, self.fold = nn.Unfold(4, stride=4), nn.Fold((8, 8), (4, 4), stride=(4, 4))
        self.linear, self.conv = nn.Linear(48, 48), nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> Any:
        h = torch.relu(self.linear(self.unfold(x).transpose(1, 2)))
        dilated = functional.unfold(self.conv(x), (3, 2), padding=(1, 0), dilation=2)
        return self.conv(self.fold(h.transpose(1, 2))), dilated.mean(-1)


class Windows(nn.Module):
    """Of a length that varies, channels last in Keras; and of a fixed axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv1d(3, 4, 3, padding=1), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> Any:
        return self.linear(self.conv(x).unfold(2, 5, 2)).sum(1), x.unfold(1, 2, 1).sum(2)


class Tables(nn.Module):
    """One layer in two ways."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("near", torch.randn(6))
        self.register_buffer("far", torch.randn(6))
        self.linear = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor, kind: str) -> Any:
        return self.linear(x) * getattr(self, kind), x + getattr(self, kind)


class Ways(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables = Tables()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        near, moved = self.tables(x, "near")
        far, other = self.tables(torch.relu(x), "far")
        return near * far + moved * other


class Excited(nn.Module):
    """A number for each channel, brought to an image's axes in the ways in which people do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, channels, height, width = x.shape
        y = torch.sigmoid(self.fc(x.mean((2, 3))))
        x = x * y.view(rows, channels, 1, 1).expand_as(x)
        x = x * y[:, :, None, None] + y.unsqueeze(-1).unsqueeze(-1).expand(rows, channels, height, width)
        return torch.cat([x, y.view(rows, channels, 1, 1).expand(-1, -1, height, width)], 1)


class Clamped(nn.Module):
    """A parameter of which nothing is read but what it is clamped to; products with a bias and factors."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([[9.0], [0.5], [1.0]]))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        scale = torch.clamp(self.scale, max=2.0).exp()
        return scale * torch.baddbmm(x, batch1=x, batch2=y, beta=0.5, alpha=0.25) + torch.baddbmm(x, x, y, beta=0)


class Squash(torch.autograd.Function):
    """A function with a backward of its own, whose gradient is that of its forward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        share = torch.sigmoid(x)
        return gradient * (share + x * share * (1 - share))


class Kept(nn.Module):
    """Answers what it is given beside nothing, as quantisation does that is off."""

    def forward(self, x: torch.Tensor) -> Any:
        return x, None


class Heads(nn.Module):
    """Heads by places behind an ellipsis, slopes by a power of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out, self.kept = nn.Linear(4, 20), nn.Linear(20, 3), Kept()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.kept(Squash.apply(self.fc(x)))
        heads = x.view(x.shape[0], -1, 5, 4)
        slopes = torch.tensor(0.25) ** torch.arange(1, 4, dtype=torch.int32)
        found = heads[..., :-2, :] * slopes[:, None] + heads[..., [-2], :] * heads[..., [-1], :]
        return self.out(torch.cat([found, heads[..., [0, 3], :]], dim=2).flatten(2))


class Bracketed(nn.Module):
    """Answers a sum that begins and ends in brackets, beside nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.rand(4)), nn.Parameter(torch.rand(4))

    def forward(self, x: torch.Tensor) -> Any:
        return x * self.scale + self.shift * torch.sigmoid(x), None


class PowerPools(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sum, self.pool, self.odd = Bracketed(), nn.LPPool1d(2, 3), nn.LPPool1d(1.5, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.sum(x)
        return self.odd(self.pool(x.transpose(1, 2)))


class Norm(nn.GroupNorm):
    """One group, as some vision transformers have it: a layer of torch's own, only made otherwise."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)


class Standardised(nn.Conv2d):
    """A convolution of torch's own in which a method of it computes otherwise."""

    def _conv_forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return super()._conv_forward(x, weight - weight.mean(dim=(1, 2, 3), keepdim=True), bias)


class Derived(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = Standardised(3, 4, 3, padding=1), Norm(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


def _residuals() -> nn.Module:
    return nn.Sequential(Residual(3, 4), Residual(4, 6), Residual(6, 6))


def _stem() -> nn.Module:
    """As a residual network begins: the pool behind the ReLU is padded, and so is one that reaches beyond the end."""
    return nn.Sequential(
        nn.Conv1d(3, 4, 3), nn.ReLU(), nn.MaxPool1d(3, 2, 1), nn.Conv1d(4, 4, 1), nn.ReLU(),
        nn.MaxPool1d(3, 2, ceil_mode=True),
    )  # fmt: skip


class Buffered(nn.Module):
    """Buffers that follow a formula, so that the model may be trained without the weights' file."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 4)
        self.register_buffer("frequencies", 10000.0 ** (-torch.arange(4) / 4))
        self.register_buffer("later", torch.ones(1, 5, 5, dtype=torch.int64).triu(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x.new_zeros(x.shape[0], 4)
        for place in range(5):
            state = self.cell(x[:, place] * self.frequencies, state)
        return torch.where(self.later[0, 0] > 0, state.sum(1, keepdim=True), 0.0)


_x = torch.randn


class Scaled(nn.Module):
    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (x.abs().mean(-1, keepdim=True) + self.epsilon)


class Fields(nn.Module):
    """A function is called as a block is, an input as another, two layers as one but for an underscore."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.scaled = Scaled(1e-6), Scaled(1e-5)
        self._fc, self.fc = nn.Linear(4, 4), nn.Linear(4, 4)
        self.table = nn.Embedding(5, 4)

    def forward(self, scaled: torch.Tensor) -> torch.Tensor:
        near = torch.argmin(torch.cdist(scaled, self.table.weight), dim=-1)
        length = torch.norm(scaled, dim=-1, keepdim=True)
        return self.norm(self._fc(scaled)) + self.scaled(self.fc(scaled)) * length + self.table(near)


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 3, 3, padding=1)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.conv(torch.cat([x, state], dim=1)))


class Recurrent(nn.Module):
    """Images one after the other, and a state that begins at zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = Cell()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, steps, _, height, width = x.shape
        state, states = torch.zeros(rows, 3, height, width), []
        for number in range(steps):
            state = self.cell(x[:, number], state)
            states.append(state)
        return torch.stack(states, dim=1)


class Unpacked(nn.Module):
    """As long as the longest of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, _ = self.rnn(packed)
        return self.head(pad_packed_sequence(states, batch_first=True)[0])


class Closed(nn.Module):
    """A function that has modules from around it, as minGPT's `mlpf`."""

    def __init__(self) -> None:
        super().__init__()
        parts = self.parts = nn.ModuleDict({"fc": nn.Linear(4, 4), "act": nn.Tanh()})
        self.function = lambda x: parts["act"](parts["fc"](x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def _images() -> nn.Module:
    """Functions of images among the layers of a sequence."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        nn.LocalResponseNorm(2),
        nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        nn.ReplicationPad2d(1),
        nn.AdaptiveMaxPool2d((5, 4)),
    )


class TimeFirst(nn.Module):
    """Places as torch's own tutorial holds them, time first, with a norm over the last axis."""

    def __init__(self) -> None:
        super().__init__()
        angles = torch.arange(9.0)[:, None] * torch.exp(torch.arange(0, 4, 2) * (-math.log(10000.0) / 4))
        places = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
        self.register_buffer("places", places[:, None])
        self.norm = nn.LayerNorm(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(0, 1)
        return self.norm(x + self.places[: x.size(0)]).transpose(0, 1)


class Causal(nn.Module):
    """Torch hands it on to its own attention by place that the mask is causal."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.attention(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)[0]


class Shifted(nn.Module):
    """Windows as Swin takes them apart and puts them together: the number of images is a quotient, made whole."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[1:3]
        parts = x.view(-1, height // 2, 2, width // 2, 2, 2).permute(0, 1, 3, 2, 4, 5).reshape(-1, 2, 2, 2)
        parts = self.layer(parts)
        count = int(parts.shape[0] / (height * width / 2 / 2))
        parts = parts.view(count, height // 2, width // 2, 2, 2, -1)
        return parts.permute(0, 1, 3, 2, 4, 5).reshape(count, height, width, -1)


class Reversed(nn.Module):
    """A normalisation of series taken back at the end, beside a small number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(_x(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = (x * self.weight).permute(0, 2, 1).flip(dims=(2,))
        return scaled.permute(0, 2, 1) / (self.weight + 1e-10)


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[Any, ...], str]] = {
    "states": (States, (_x(4, 5, 3), _x(4, 6, 3)), "initial_state=[state_0, cell_0]"),
    "packed": (Packed, (_x(4, 5, 3), torch.tensor([5, 2, 3, 1])), "mask=mask"),
    "sizes": (_residuals, (_x(4, 3, 8),), "def __init__(self, filters, **options)"),
    "skips": (Skips, (_x(4, 4, 9),), "skips = 0\n        for block in self.blocks:\n            x, skip = block(x)\n"),
    "dilations": (Skips, (_x(4, 4, 9),), "[Gated(1), Gated(2), Gated(4)]"),
    "patches": (Unfolded, (_x(4, 3, 8, 8),), "ops.image.extract_patches"),
    "clamped": (Clamped, (_x(2, 3, 3), _x(2, 3, 3)), "ops.minimum(self.scale, 2.0)"),
    "windows": (Windows, (_x(4, 3, 9),), "[:, None] + ops.arange(5)"),
    "ways": (Ways, (_x(4, 6),), "self.tables_far"),
    "cuts": (lambda: nn.Sequential(Cut(1), Cut(2)), (_x(4, 4, 9),), ": -self.size]"),
    "fields": (Fields, (_x(4, 3, 4),), "self.fc_ = "),
    "images": (_images, (_x(4, 2, 5, 6),), "local_response_norm("),
    "recurrent": (Recurrent, (_x(4, 3, 2, 4, 5),), "ops.zeros((ops.shape(x)[0], 4, 5, 3))"),
    "unpacked": (Unpacked, (_x(4, 5, 3), torch.tensor([5, 2, 3, 1])), "zero_output_for_mask=True"),
    "closed": (Closed, (_x(4, 4),), "self.parts_act(self.parts_fc(x))"),
    "time first": (TimeFirst, (_x(4, 5, 4),), "ops.reshape(sinusoids(9, 4), (9, 1, 4))"),
    "pools": (Pools, (_x(4, 2, 8, 8),), "resize_aligned"),
    "masked": (Masked, (torch.arange(8).reshape(2, 4), torch.ones(2, 4, dtype=torch.int64)), "_2 = "),
    "double": (
        lambda: Pooled().double(),
        (_x(4, 5, 3).double(),),
        'layers.Dropout(0.1, name="dropout", dtype="float64")',
    ),
    "around": (Around, (torch.tensor([1.7e9, 5e4, 0.0]) + 900 * _x(6, 3).double(),), "autocast=False"),
    "projected": (Projected, (_x(4, 5, 3),), "ProjectedLSTMCell(5, 2)"),
    "hidden": (Hidden, (_x(4, 3, 5),), "ops.where(x < 0, LOWEST, x)"),
    "mixes": (Mixes, (_x(4, 3, 4, 6), torch.arange(20).reshape(4, 5) % 9), "ops.take_along_axis"),
    "rectified": (_stem, (_x(4, 3, 17),), "layers.ZeroPadding1D(1),"),
    "rectified at the end": (_stem, (_x(4, 3, 17),), "layers.ZeroPadding1D((0, 1)),"),
    "turns": (Buffered, (_x(3, 5, 4),), "for i in range(5):"),
    "buffers": (Buffered, (_x(3, 5, 4),), "keras.initializers.Constant("),
    "power pools": (PowerPools, (_x(4, 9, 4),), "ops.average_pool(input**2, 3)"),
    "heads": (Heads, (_x(4, 5, 4),), "heads, [3], axis=2)"),
    "derived": (Derived, (_x(4, 3, 6, 6),), "layers.GroupNormalization(1, epsilon=1e-05"),
    "alone": (lambda: weight_norm(nn.Linear(4, 3)), (_x(4, 4),), "Dense(3)"),
    "shifted": (Shifted, (_x(4, 4, 6, 2),), "ops.reshape(parts, (-1, 2, 3, 2, 2, 2))"),
    "reversed": (Reversed, (_x(4, 5, 3),), "scaled / (self.weight + 1e-10)"),
    "lines": (LongLines, (_x(4, 4),), "(\n            "),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_carried_as_a_person_writes_it(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build, example, code = KINDS[kind]
    draft = Draft(from_object(build().eval(), "net", SourceRef(reference="nets:build"), {}, example), "nets.weights.h5")
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    target = draft.target(written)
    assert draft.answers(target).holds
    assert parameters(draft.code, target, draft.state, draft.learning).holds
    assert kind not in ("heads", "power pools") or gradients(draft.sides(target)).holds
    assert code in draft.code.text
    assert_formatted(written)


def test_what_is_expanded_to_be_broadcast_is_written_without(tmp_path: Path) -> None:
    found = from_object(Excited().eval(), "net", SourceRef(reference="nets:build"), {}, _x(4, 4, 5, 6))
    draft = Draft(found, "nets.weights.h5")
    (tmp_path / "nets.py").write_text(draft.code.text)
    assert draft.answers(draft.target(tmp_path / "nets.py")).holds
    assert "x * ops.reshape(y, (-1, 1, 1, 4))" in draft.code.text
    assert "transpose" not in draft.code.text
    assert draft.code.text.count("broadcast_to") == 1  # of what is joined


class Alone(nn.Module):
    """Nothing else has the size that an operand is expanded to."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, None].expand(-1, -1, 3) + x.new_ones(1)


def test_what_has_its_size_from_being_expanded_stays_expanded(tmp_path: Path) -> None:
    draft = Draft(from_object(Alone(), "net", SourceRef(reference="nets:build"), {}, _x(4, 5)), "nets.weights.h5")
    (tmp_path / "nets.py").write_text(draft.code.text)
    assert draft.answers(draft.target(tmp_path / "nets.py")).holds
    assert "broadcast_to" in draft.code.text


def test_the_proof_keeps_what_is_causal(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = SourceRef(reference="nets:build")
    draft = Draft(from_object(Causal().eval(), "net", reference, {}, (_x(4, 5, 4),)), "nets.weights.h5")
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    assert gradients(draft.sides(draft.target(written))).holds


class Seen(nn.Module):
    """Attention that sees what a mask shows: nothing, of a row that it hides."""

    def __init__(self) -> None:
        super().__init__()
        self.key = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, ones: torch.Tensor) -> Any:
        places = mask[:, None, :].expand(-1, x.shape[1], -1)
        added = torch.zeros(ones.shape).masked_fill(ones == 0, float("-inf"))[:, None]
        attention = functional.scaled_dot_product_attention
        return attention(x, self.key(x), x, attn_mask=places), attention(x, self.key(x), x, attn_mask=added)


def test_a_row_that_is_hidden_is_asked_and_answered_as_torch_does(tmp_path: Path) -> None:
    rows = _x(4, 6, 4), torch.arange(6) < torch.tensor([[2], [3], [4], [6]]), torch.ones(4, 6, dtype=torch.int64)
    rows[2][:, 4:] = 0
    draft = Draft(from_object(Seen(), "net", SourceRef(reference="nets:build"), {}, rows), "nets.weights.h5")
    hidden = next(case for case in draft.asked if case.about == "a row that is hidden")
    assert not hidden.feeds["mask"][0].any()
    assert not hidden.feeds["ones"][0].any()
    assert all(hidden.feeds["mask"][1:].any(-1))
    (tmp_path / "nets.py").write_text(draft.code.text)
    assert draft.answers(draft.target(tmp_path / "nets.py")).holds


def test_a_row_that_is_hidden_is_not_asked_of_what_answers_no_number() -> None:
    def masked(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x.masked_fill(~mask, float("-inf")), -1)

    class Masks(nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return masked(x, mask)

    rows = _x(4, 6), torch.arange(6) < torch.tensor([[2], [3], [4], [6]])
    draft = Draft(from_object(Masks(), "net", SourceRef(reference="nets:build"), {}, rows), "nets.weights.h5")
    assert not [case for case in draft.asked if case.about == "a row that is hidden"]

"""Awkward torch modules, each with what should happen to it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from tests.corpus.expected import Corpus
from torch import nn
from torch.nn import functional

from onnxpress.core.tensors import parse_spec

corpus = Corpus()
exported, refused = corpus.exported, corpus.refused


class Forward(nn.Module):
    """A module whose forward is the given function of (self, *arguments)."""

    def __init__(self, function: Any, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(5, *shape)


def given(model: nn.Module, *examples: Any) -> Any:
    return model, {"example_inputs": examples}


def described(model: nn.Module, *specs: str) -> Any:
    return model, {"network_inputs": [parse_spec(spec) for spec in specs]}


# --- layers


@exported()
def gelu_in_both_forms():
    return given(nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU("tanh"), nn.Linear(8, 3)), rows(6))


@exported()
def norms_over_layers_groups_and_instances():
    parts = nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.LayerNorm([4, 5, 5]), nn.BatchNorm2d(4)
    return given(nn.Sequential(*parts), rows(4, 5, 5))


@exported()
def convolutions_grouped_dilated_and_transposed():
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 8, 3, dilation=2, padding="same"), nn.ConvTranspose2d(8, 4, 2, 2)
    )
    return given(model, rows(4, 9, 9))


@exported()
def zero_padding_before_max_pooling():
    """ONNX Runtime would fold the zeros into the pooling as minus infinity; what lets NaN through stands between."""
    return given(nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, 2), nn.Conv2d(2, 2, 1)), rows(2, 9, 9) - 5)


@exported()
def upsampling():
    model = Forward(lambda _, x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
    return given(model, rows(2, 5, 6))


@exported()
def adaptive_pooling():
    return given(nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), rows(2, 9, 9))


@exported()
def weight_norm():
    return given(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), rows(4))


@exported()
def tied_embedding():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 6)
            self.decode = nn.Linear(6, 11, bias=False)
            self.decode.weight = self.embed.weight

        def forward(self, ids):
            return self.decode(torch.tanh(self.embed(ids)))

    return given(Tied(), torch.randint(0, 11, (5, 4)))


@exported()
def embedding_bag():
    return given(nn.EmbeddingBag(9, 4, mode="mean"), torch.randint(0, 9, (5, 6)))


# --- recurrent


class Recurrent(nn.Module):
    def __init__(self, kind: Any, **settings: Any) -> None:
        super().__init__()
        self.rnn = kind(4, 5, batch_first=True, **settings)

    def forward(self, x):
        return self.rnn(x)[0]


@exported()
def lstm_stacked_and_bidirectional():
    return described(Recurrent(nn.LSTM, num_layers=2, bidirectional=True), "x:float32[batch,time,4]")


@exported()
def gru_stacked_and_bidirectional():
    return described(Recurrent(nn.GRU, num_layers=2, bidirectional=True), "x:float32[batch,time,4]")


@exported(converter="TorchScript")
def plain_rnn():
    return described(Recurrent(nn.RNN), "x:float32[batch,time,4]")


@exported(batch_safe=False)  # the states have the batch on their second axis
def lstm_with_its_states():
    class States(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(4, 5, batch_first=True)

        def forward(self, x):
            return self.rnn(x)[1]

    return described(States(), "x:float32[batch,time,4]")


@refused("proj_size")
def projected_lstm():
    return described(Recurrent(nn.LSTM, proj_size=3), "x:float32[batch,time,4]")


@exported()
def packed_lstm():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(4, 5, batch_first=True)

        def forward(self, x, lengths):
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            return self.rnn(packed)[1][0][-1]

    return given(Packed(), rows(6, 4), torch.tensor([6, 3, 2, 5, 1]))


# --- attention


@exported()
def attention_with_a_padding_mask():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x, padding):
            padding = padding & (torch.arange(padding.shape[1]) > 0)  # the first place always counts
            return self.attention(x, x, x, key_padding_mask=padding, need_weights=False)[0]

    return given(Masked(), rows(5, 8), torch.rand(5, 5) > 0.5)


@exported()
def attention_with_a_float_bias():
    class Biased(nn.Module):
        def forward(self, q, bias):
            return functional.scaled_dot_product_attention(q, q, q, attn_mask=bias)

    return given(Biased(), rows(2, 6, 8), rows(1, 6, 6))


@exported()
def transformer_layer_over_any_length():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    return described(layer, "src:float32[batch,time,8]")


@exported()
def causal_attention_over_any_length():
    class Causal(nn.Module):
        def forward(self, x):
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
            return functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)

    return described(Causal(), "x:float32[batch,time,4]")


# --- structures


@exported()
def dict_as_the_last_positional_argument():
    class Takes(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, batch):
            return self.linear(batch["a"]) + batch["b"]

    return given(Takes(), {"a": rows(4), "b": rows(2)})


@exported()
def nested_inputs_and_outputs_with_none():
    class Nested(nn.Module):
        def forward(self, pair, x):
            return {"sum": pair[0] + pair[1] * x, "nothing": None, "parts": (x, [pair[0] * 2])}

    return given(Nested(), (rows(4), rows(4)), rows(4))


@exported()
def optional_argument_by_name():
    class Optional(nn.Module):
        def forward(self, x, mask=None, *, scale=None):
            x = x if mask is None else x * mask
            return x if scale is None else x * scale

    return Optional(), {"example_inputs": {"x": rows(4), "scale": rows(1)}}


@dataclasses.dataclass
class Answer:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


@exported()
def dataclass_output():
    class Answers(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, x):
            return Answer(self.linear(x))

    return given(Answers(), rows(4))


@exported(batch_safe=False)
def plain_number_that_follows_the_batch():
    return given(Forward(lambda _, x: {"y": x * 2, "rows": x.shape[0]}), rows(4))


@exported()
def output_that_is_also_an_input():
    return given(Forward(lambda _, x: (x, x + 1)), rows(4))


@exported()
def the_same_tensor_twice():
    def twice(_, x):
        y = torch.tanh(x)
        return y, y

    return given(Forward(twice), rows(4))


@exported()
def compiled_module():
    return given(torch.compile(nn.Linear(4, 2)), rows(4))


# --- dtypes


@exported()
def bool_input():
    class Fills(nn.Module):
        def forward(self, x, mask):
            return x.masked_fill(mask, -1.0)

    return given(Fills(), rows(4), torch.rand(5, 4) > 0.5)


@exported()
def uint8_image():
    return given(
        Forward(lambda self, x: self.conv(x.float() / 255), conv=nn.Conv2d(3, 2, 3)),
        torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8),
    )


@exported()
def negative_integer_division():
    model = Forward(lambda _, x: (x // 3, x % 3, torch.div(x, 3, rounding_mode="trunc")))
    return given(model, torch.randint(-9, 9, (5, 4)))


@exported()
def bfloat16_weights():
    return given(nn.Linear(4, 3).to(torch.bfloat16), rows(4).bfloat16())


@exported()
def float16_layer_inside():
    """Its rounding is its own noise: the floor must be found in float64, past the casts."""
    model = Forward(lambda self, x: self.narrow(x.half()).float() + x, narrow=nn.Linear(6, 6).half())
    return given(nn.Sequential(nn.Linear(6, 6), model, nn.Linear(6, 2)), rows(6))


@exported()
def float16_weights_used_in_float32():
    class Stored(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 3).half())

        def forward(self, x):
            return x @ self.weight.float()

    return given(Stored(), rows(6))


@exported()
def normalisation_that_casts():
    class Norm(nn.Module):
        def forward(self, x):
            wide = x.to(torch.float32)
            return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)

    return given(nn.Sequential(nn.Linear(6, 8), Norm(), nn.Linear(8, 2)), rows(6))


@exported()
def float64_module():
    return given(nn.Linear(4, 3).double(), rows(4).double())


# --- operators


@exported()
def sort_topk_and_cumsum():
    return given(Forward(lambda _, x: (x.sort(-1).values, x.topk(2, -1).values, x.cumsum(-1))), rows(6))


@exported()
def gather_and_scatter():
    def places(_, x):
        order = x.argsort(-1)
        return torch.zeros_like(x).scatter(1, order, x), x.gather(1, order)

    return given(Forward(places), rows(6))


@exported()
def einsum():
    return given(Forward(lambda _, x: torch.einsum("bij,bkj->bik", x, x)), rows(3, 4))


@exported()
def in_place_operations():
    def writes(_, x):
        x[:, 0] = 0
        return x.clamp_(min=0).add_(1)

    return given(Forward(writes), rows(4))


@exported()
def size_taken_as_int():
    return given(Forward(lambda _, x: x + torch.zeros(int(x.shape[0]), 1)), rows(4))


@exported()
def reshape_by_size():
    return given(Forward(lambda _, x: x.view(x.size(0), x.size(1) * x.size(2)).chunk(2, 1)), rows(4, 6))


@exported(batch_safe=False)
def rows_that_look_at_each_other():
    return given(Forward(lambda _, x: x - x.mean(0)), rows(4))


# --- refused


@refused("data-dependent")
def branch_on_values():
    return given(Forward(lambda _, x: x * 2 if x.sum() > 0 else x - 1), rows(4))


@refused("data-dependent")
def branch_that_no_measured_input_takes():
    """The TorchScript exporter would leave the branch out, and every comparison would be equal."""
    return given(Forward(lambda _, x: x if x.abs().max() < 1e9 else x * 0), rows(4))


@refused("cannot convert|by the values")
def plain_rnn_with_a_branch_on_values():
    class Branches(Recurrent):
        def forward(self, x):
            y = super().forward(x)
            return y if float(y.abs().max()) < 1e9 else y * 0

    return described(Branches(nn.RNN), "x:float32[batch,time,4]")


@exported()
def numpy_within_forward():
    """torch traces numpy's sort as its own; a stable one has an ONNX form here."""
    return given(Forward(lambda _, x: x + torch.from_numpy(np.sort(x.numpy(), axis=1))), rows(4))


@refused("NOT equivalent|one size only")
def branch_on_the_batch_size():
    return given(Forward(lambda _, x: x * 2 if x.shape[0] > 6 else x - 1), rows(4))


@refused("one size only|fails on inputs")
def size_written_into_the_code():
    return given(Forward(lambda _, x: x.reshape(5, -1) * 2), rows(4))


@refused("random.*forward method")
def dropout_that_is_always_on():
    return given(Forward(lambda _, x: functional.dropout(x, 0.5, training=True)), rows(4))


@refused("random")
def numpy_randomness():
    return given(Forward(lambda _, x: x + torch.from_numpy(np.random.rand(4).astype(np.float32))), rows(4))


@refused("random|state")
def counter_in_forward():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x + self.calls

    return given(Counts(), rows(4))


@refused("random|state")
def buffer_changed_in_forward():
    class Averages(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(4))

        def forward(self, x):
            self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
            return x - self.mean

    return given(Averages(), rows(4))


@refused("NOT equivalent")
def python_branch_seen_by_the_tracer_only():
    return given(Forward(lambda _, x: x * (1.001 if torch.compiler.is_compiling() else 1.0)), rows(4))


@refused("has no tensor form")
def answer_that_is_a_string():
    return given(Forward(lambda _, x: "yes"), rows(4))

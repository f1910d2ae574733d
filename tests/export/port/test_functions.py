"""Every function of the table is carried to Keras and answers there what it answers in torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scripts.references.port_table import functions as of_the_table
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from onnxpress.core.tensors import parse_spec
from onnxpress.export.port.from_torch.blocks import block_of
from onnxpress.export.port.from_torch.structures import Given
from onnxpress.export.port.proof.keras_target import KerasTarget
from onnxpress.export.port.to_keras.model import written

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


class Calls(nn.Module):
    """A function of (module, x), with weights to take."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))
        self.bias = nn.Parameter(torch.tensor([0.5, -0.5, 0.1]))
        self.register_buffer("places", torch.tensor([2, 0]))
        for n in (1, 2, 3):
            size = (3, 2, *[3] * n)
            self.register_parameter(f"kernel{n}", nn.Parameter(torch.linspace(-1, 1, math.prod(size)).reshape(size)))

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(self, x)


def positive(name: str) -> Callable[[Any, Any], Any]:
    return lambda _, x: getattr(torch, name)(x.abs() + 0.5)


def two(name: str) -> Callable[[Any, Any], Any]:
    return lambda _, x: getattr(torch, name)(x, x.abs() + 0.5)


def over(name: str) -> Callable[[Any, Any], Any]:
    return lambda _, x: getattr(torch, name)(x, dim=-1)


IMAGES = (2, 4, 4)
VOLUMES = (2, 4, 4, 4)
CASES: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...]]] = {
    **{name: (lambda _, x, name=name: getattr(torch, name)(x), (3, 4)) for name in (
        "abs", "arctan", "atan", "ceil", "clone", "cos", "detach", "erf", "exp", "expm1", "floor", "isfinite", "isinf",
        "isnan", "neg", "relu", "round", "selu", "sigmoid", "sign", "sin", "square", "tan", "tanh", "t", "ones_like",
        "zeros_like", "tril", "triu", "max", "min",
    )},
    **{name: (lambda _, x, name=name: getattr(F, name)(x), (3, 4)) for name in (
        "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "normalize", "relu6",
        "silu", "softplus", "softsign",
    )},
    **{name: (positive(name), (3, 4)) for name in ("log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sqrt")},
    **{name: (two(name), (3, 4)) for name in (
        "add", "div", "eq", "floor_divide", "ge", "gt", "le", "lt", "maximum", "minimum", "mul", "ne", "remainder",
        "rsub", "sub",
    )},
    **{name: (over(name), (3, 4)) for name in (
        "amax", "amin", "argmax", "argmin", "cumsum", "log_softmax", "logsumexp", "mean", "prod", "softmax", "std",
        "sum", "var",
    )},
    **{f"adaptive_{kind}_pool{n}d": (lambda _, x, name=f"adaptive_{kind}_pool{n}d": getattr(F, name)(x, 1), shape)
       for kind in ("avg", "max") for n, shape in ((1, (2, 4)), (2, IMAGES), (3, VOLUMES))},
    **{f"{kind}_pool{n}d": (lambda _, x, name=f"{kind}_pool{n}d": getattr(F, name)(x, 2), shape)
       for kind in ("avg", "max") for n, shape in ((1, (2, 4)), (2, IMAGES), (3, VOLUMES))},
    **{f"lp_pool{n}d": (lambda _, x, name=f"lp_pool{n}d": getattr(F, name)(x, 2.0, 2, ceil_mode=True), shape)
       for n, shape in ((1, (2, 5)), (2, (2, 5, 4)), (3, VOLUMES))},
    "all": (lambda _, x: torch.all(x > -1, dim=-1), (3, 4)),
    "any": (lambda _, x: torch.any(x > 1, dim=-1), (3, 4)),
    "arange": (lambda _, x: x + torch.arange(4), (3, 4)),
    "bool": (lambda _, x: x.relu().bool(), (3, 4)),
    "cat": (lambda _, x: torch.cat([x, x], dim=1), (3, 4)),
    "chunk": (lambda _, x: x.chunk(2, dim=-1), (3, 4)),
    "clamp": (lambda _, x: x.clamp(-0.5, 0.5), (3, 4)),
    "clamp_min": (lambda _, x: x.clamp_min(0.1), (3, 4)),
    "contiguous": (lambda _, x: x.transpose(1, 2).contiguous(), (3, 4)),
    "dropout": (lambda m, x: F.dropout(x, 0.5, m.training), (3, 4)),
    "einsum": (lambda _, x: torch.einsum("bij,bkj->bik", x, x), (3, 4)),
    "embedding": (lambda m, x: F.embedding(x.long().clamp(0, 2), m.weight), (3, 4)),
    "expand": (lambda _, x: x[:, :1].expand(-1, 3, -1), (3, 4)),
    "expand_as": (lambda _, x: x[:, :1].expand_as(x), (3, 4)),
    "flatten": (lambda _, x: x.flatten(1), (3, 4)),
    "flip": (lambda _, x: x.flip(1), (3, 4)),
    "float": (lambda _, x: (x > 0).float(), (3, 4)),
    "take_along_dim": (lambda _, x: torch.take_along_dim(x, (x[:, :1] > 0).long(), 2), (3, 4)),
    "gather": (lambda _, x: x.gather(2, (x > 0).long()), (3, 4)),
    "getitem": (lambda _, x: x[:, 1:, ::2], (3, 4)),
    "index_select": (lambda m, x: x.index_select(1, m.places), (3, 4)),
    "int": (lambda _, x: (x * 3).int(), (3, 4)),
    "interpolate": (lambda _, x: F.interpolate(x, scale_factor=2), IMAGES),
    "linalg_vector_norm": (lambda _, x: torch.linalg.vector_norm(x, dim=-1), (3, 4)),
    "linear": (lambda m, x: F.linear(x, m.weight, m.bias), (3, 4)),
    "logical_and": (lambda _, x: (x > 0) & (x < 1), (3, 4)),
    "logical_not": (lambda _, x: ~(x > 0), (3, 4)),
    "logical_or": (lambda _, x: (x > 1) | (x < 0), (3, 4)),
    "long": (lambda _, x: (x * 3).long(), (3, 4)),
    "masked_fill": (lambda _, x: x.masked_fill(x.relu().log() == -float("inf"), -1e30), (3, 4)),
    "matmul": (lambda m, x: x @ m.weight.t(), (3, 4)),
    "mod": (lambda _, x: x % 0.7, (3, 4)),
    "new_ones": (lambda _, x: x * x.new_ones(3, 4), (3, 4)),
    "new_zeros": (lambda _, x: x + x.new_zeros(3, 4), (3, 4)),
    "norm": (lambda _, x: x.norm(dim=-1), (3, 4)),
    "ones": (lambda _, x: x + torch.ones(3, 4), (3, 4)),
    "pad": (lambda _, x: F.pad(x, (1, 2)), (3, 4)),
    "permute": (lambda _, x: x.permute(0, 2, 1), (3, 4)),
    "pow": (lambda _, x: x**2, (3, 4)),
    "repeat": (lambda _, x: x.repeat(1, 2, 1), (3, 4)),
    "requires_grad": (lambda _, x: (x * 2).requires_grad_(), (3, 4)),
    "reshape": (lambda _, x: x.reshape(-1, 4, 3), (3, 4)),
    "reshape_as": (lambda _, x: x.flatten(1).reshape_as(x), (3, 4)),
    "roll": (lambda _, x: x.roll(1, 2), (3, 4)),
    "scaled_dot_product_attention": (lambda _, x: F.scaled_dot_product_attention(x, x, x), (3, 4)),
    "size": (lambda _, x: x.flatten(1).reshape(x.size(0), 3, 4), (3, 4)),
    "split": (lambda _, x: x.split((1, 3), dim=-1), (3, 4)),
    "squeeze": (lambda _, x: x.squeeze(2), (3, 1, 4)),
    "stack": (lambda _, x: torch.stack([x, x], dim=1), (3, 4)),
    "to": (lambda _, x: (x > 0).to(torch.int64), (3, 4)),
    "topk": (lambda _, x: x.topk(2), (3, 4)),
    "transpose": (lambda _, x: x.transpose(1, 2), (3, 4)),
    "unbind": (lambda _, x: torch.unbind(x, 1), (3, 4)),
    "unflatten": (lambda _, x: x.unflatten(2, (2, 2)), (3, 4)),
    "unsqueeze": (lambda _, x: x.unsqueeze(1), (3, 4)),
    "where": (lambda _, x: torch.where(x > 0, x, x * 2), (3, 4)),
    "zeros": (lambda _, x: x + torch.zeros(3, 4), (3, 4)),
    **{name: (lambda _, x, name=name: getattr(torch, name)(x.clamp(-0.9, 0.9)), (3, 4)) for name in (
        "acos", "asin", "celu", "cosh", "nan_to_num", "positive", "sinh", "trunc",
    )},
    **{name: (lambda _, x, name=name: getattr(F, name)(x), (3, 4)) for name in (
        "glu", "hardshrink", "softshrink", "tanhshrink",
    )},
    **{f"conv{n}d": (lambda m, x, n=n: getattr(F, f"conv{n}d")(x, getattr(m, f"kernel{n}"), padding=1), shape)
       for n, shape in ((1, (2, 4)), (2, IMAGES), (3, VOLUMES))},
    "addmm": (lambda m, x: torch.addmm(m.bias, x, m.weight.t()), (4,)),
    "argsort": (
        lambda _, x: (x.argsort(-1, descending=True), (x > 0).argsort(dim=-1, descending=True, stable=True)),
        (3, 4),
    ),
    "baddbmm": (lambda _, x: torch.baddbmm(x.transpose(1, 2) @ x, x.transpose(1, 2), x), (3, 4)),
    "cosine_similarity": (lambda _, x: F.cosine_similarity(x, x.flip(2), dim=-1), (3, 4)),
    "count_nonzero": (lambda _, x: torch.count_nonzero(x.relu(), dim=-1), (3, 4)),
    "cpu": (lambda _, x: x.cpu() * 2, (3, 4)),
    "double": (lambda _, x: x.double().sum(-1).float(), (3, 4)),
    "eye": (lambda _, x: x @ torch.eye(4), (3, 4)),
    "full": (lambda _, x: x + torch.full((3, 4), 2.0), (3, 4)),
    "full_like": (lambda _, x: x + torch.full_like(x, 2.0), (3, 4)),
    "half": (lambda _, x: x.half().float(), (3, 4)),
    "layer_norm": (lambda m, x: F.layer_norm(x, (4,), m.weight[0], m.weight[1]), (3, 4)),
    "linspace": (lambda _, x: x + torch.linspace(0, 1, 4), (3, 4)),
    "logical_xor": (lambda _, x: torch.logical_xor(x > 0, x < 1), (3, 4)),
    "moveaxis": (lambda _, x: torch.moveaxis(x, 1, 2), (3, 4)),
    "movedim": (lambda _, x: x.movedim((1, 2), (2, 1)), (3, 4)),
    "narrow": (lambda _, x: x.narrow(2, 1, 2), (3, 4)),
    "new_full": (lambda _, x: x + x.new_full((3, 4), 2.0), (3, 4)),
    "one_hot": (lambda _, x: F.one_hot(x.long().clamp(0, 2), 3), (3, 4)),
    "outer": (lambda m, x: x @ torch.outer(m.weight[0], m.bias), (3, 4)),
    "repeat_interleave": (lambda _, x: x.repeat_interleave(2, dim=1), (3, 4)),
    "rms_norm": (lambda m, x: F.rms_norm(x, (4,), m.weight[0]), (3, 4)),
    "select": (lambda _, x: x.select(1, 2), (3, 4)),
    "sort": (lambda _, x: x.sort(-1, descending=True), (3, 4)),
    "threshold": (lambda _, x: F.threshold(x, 0.1, -1.0), (3, 4)),
    "tile": (lambda _, x: x.tile(1, 2, 1), (3, 4)),
    "type": (lambda _, x: (x * 3).type(torch.int64), (3, 4)),
    "copy": (lambda _, x: (x * 2)[:, 1:].copy_(x[:, :1]), (3, 4)),
    "empty": (lambda _, x: torch.empty(3, 4).copy_(x[0]) + x, (3, 4)),
    "empty_like": (lambda _, x: torch.empty_like(x).fill_(2.0) + x, (3, 4)),
    "fill": (lambda _, x: (x * 2).fill_(3.0) + x, (3, 4)),
    "index_fill": (lambda m, x: x.index_fill(1, m.places, -1.0), (3, 4)),
    "new_empty": (lambda _, x: x.new_empty(3, 4).zero_() + x, (3, 4)),
    "scatter": (lambda _, x: x.scatter(2, x.argsort(-1), x * 2), (3, 4)),
    "scatter_add": (lambda _, x: x.scatter_add(1, (x > 0).long(), x * 2), (3, 4)),
    "setitem": (lambda _, x: x.__setitem__((slice(None), 0, slice(1, 3)), 2.0) or x, (3, 4)),
    "zero": (lambda _, x: x[:, :1].zero_() + x, (3, 4)),
    "type_as": (lambda m, x: (x * 3).type_as(m.places), (3, 4)),
}  # fmt: skip
CASES |= {
    "bilinear": (lambda m, x: F.bilinear(x, x, m.kernel1.reshape(1, 18)[:, :16].reshape(1, 4, 4)), (3, 4)),
    "local_response_norm": (lambda _, x: F.local_response_norm(x, 2, 0.5), IMAGES),
    "cdist": (lambda _, x: torch.cdist(x, x[:, :2] + 1), (3, 4)),
    "cumprod": (lambda _, x: x.cumprod(1), (3, 4)),
    "kthvalue": (lambda _, x: x.kthvalue(2, dim=1), (3, 4)),
    "median": (lambda _, x: x.median(dim=1, keepdim=True), (3, 4)),
    "mse_loss": (lambda _, x: torch.stack([F.mse_loss(x, x.sin()), F.mse_loss(x, x.cos(), reduction="sum")]), (3, 4)),
    "l1_loss": (lambda _, x: F.l1_loss(x, x.flip(dims=(2,)), reduction="none"), (3, 4)),
    "pairwise_distance": (lambda _, x: F.pairwise_distance(x, x.flip(dims=(2,))), (3, 4)),
}
MORE: dict[str, tuple[Callable[[Any, Any], Any], tuple[int, ...]]] = {
    "conv2d, depthwise": (lambda m, x: F.conv2d(x, m.kernel2[:2, :1], padding=1, groups=2), IMAGES),
    "conv2d, of groups": (lambda m, x: F.conv2d(torch.cat([x, x], 1), m.kernel2[:2], groups=2), IMAGES),
    "conv2d, of a computed kernel": (lambda m, x: F.conv2d(x, m.kernel2 - m.kernel2.mean(1, keepdim=True)), IMAGES),
    "avg_pool2d, that counts what is padded": (lambda _, x: F.avg_pool2d(x, 3, 2, padding=1), IMAGES),
    "avg_pool2d, that does not": (lambda _, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), IMAGES),
    "avg_pool2d, beyond the end": (lambda _, x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), IMAGES),
    "max_pool2d, beyond the end": (lambda _, x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), IMAGES),
    "adaptive_avg_pool2d, by windows that overlap": (lambda _, x: F.adaptive_avg_pool2d(x, (3, 5)), IMAGES),
    "adaptive_max_pool1d, that divides": (lambda _, x: F.adaptive_max_pool1d(x, 2), (3, 4)),
    "pad, replicate": (lambda _, x: F.pad(x, (1, 2, 0, 1), mode="replicate"), IMAGES),
    "pad, circular": (lambda _, x: F.pad(x, (1, 2, 0, 1), mode="circular"), IMAGES),
    "interpolate, bicubic": (lambda _, x: F.interpolate(x, (7, 6), mode="bicubic"), IMAGES),
    "interpolate, bicubic, aligned": (
        lambda _, x: F.interpolate(x, (7, 6), mode="bicubic", align_corners=True), IMAGES),
    "interpolate, area": (lambda _, x: F.interpolate(x, (3, 2), mode="area"), IMAGES),
    "interpolate, nearest by a factor": (lambda _, x: F.interpolate(x, scale_factor=1.6), IMAGES),
    "interpolate, nearest to a size": (lambda _, x: F.interpolate(x, (7, 3)), IMAGES),
    "interpolate, linear": (lambda _, x: F.interpolate(x, 7, mode="linear"), (3, 4)),
    "interpolate, linear, aligned": (lambda _, x: F.interpolate(x, 7, mode="linear", align_corners=True), (3, 4)),
    "topk, of the smallest": (lambda _, x: x.topk(2, dim=1, largest=False), (3, 4)),
    "topk, whose places are computed with": (lambda m, x: x.topk(2)[1] + x.long(), (3, 2)),
    "argmax, compared": (lambda _, x: x.argmax(-1) == x.long()[..., 0], (3, 4)),
    "softmax, of a parameter": (lambda m, x: x @ m.weight.softmax(0).t(), (3, 4)),
    "zeros, by name": (lambda _, x: torch.zeros(size=(x.size(0), 3, 4)), (3, 4)),
    "permute, by name": (lambda _, x: x.permute(dims=(0, 2, 1)), (3, 4)),
    "getitem, at places of each row": (
        lambda _, x: x[torch.arange(x.size(0))[:, None].expand(-1, 2), x.topk(2, 1)[1][:, :, 0], :], (3, 4)),
    "new_tensor": (lambda _, x: x * x.new_tensor(np.arange(4)), (3, 4)),
    "no_grad": (lambda _, x: _untaught(x) + x, (3, 4)),
}  # fmt: skip


def _untaught(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return x * 2


CASES["t"] = lambda m, _: m.weight.t() * 2, (3, 4)


def test_every_line_of_the_table_has_its_case() -> None:
    elsewhere = {"pack_padded_sequence", "pad_packed_sequence", "dropped", "fold", "unfold", "windows"}
    assert CASES.keys() == of_the_table() - elsewhere  # test_kinds.py and test_drawing.py carry these


@pytest.mark.parametrize("name", [*CASES, *MORE])
def test_a_line_of_the_table_can_be_carried(name: str, tmp_path: Path) -> None:
    function, shape = (CASES | MORE)[name]
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(n, *shape, generator=generator) for n in (3, 5)]
    module = Calls(function).eval()
    block = block_of(module, ([Given("x", (rows[0], rows[1]))], {}))
    assert name in {step.name for step in block.steps} or name in MORE
    state = {n: v.detach().numpy() for n, v in [*module.named_parameters(), *module.named_buffers()]}
    state |= block.all_constants()
    spec = parse_spec(f"x:float32[batch,{','.join(map(str, shape))}]")
    code = written(block, [spec], state, frozenset(dict(module.named_parameters())), {}, "t", "w.h5")
    path = tmp_path / "nets.py"
    path.write_text(code.text)
    expected = module(rows[1])
    wanted = [expected] if isinstance(expected, torch.Tensor) else list(expected)
    outputs = [str(n) for n in range(len(wanted))]
    answers = KerasTarget(path, code, state, ["x"], outputs).answer({"x": rows[1].numpy()})
    for tensor, mine in zip(wanted, answers.values(), strict=True):
        np.testing.assert_allclose(mine, tensor.detach().numpy(), rtol=1e-5, atol=1e-5)

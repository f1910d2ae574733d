"""What forward changes in place, scatters, or asks numpy for, is written as values of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.port.formatting import assert_formatted
from torch import nn
from torch.nn import functional

from onnxpress.export.port.draft import Draft
from onnxpress.export.port.from_torch.blocks import block_of
from onnxpress.export.port.from_torch.structures import Given
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = pytest.mark.torch


class Forward(nn.Module):
    """A forward that is a function of the module and x (batch, 4)."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.call = call
        self.linear = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> Any:
        return self.call(self, x)


def _items(module: Any, x: Any) -> Any:
    x[:, 0] = 0
    h = module.linear(x)
    h[:, 1:3] *= 2
    h[h > 1] = 1
    h[:, [0, 3]] = -1.0
    h[:, ::2] = 0.5
    return h.clamp_(min=0).add_(x)


def _parts(module: Any, x: Any) -> Any:
    out = torch.empty(len(x), 6)
    out[:, :4] = module.linear(x)
    out[..., 4:] = x[:, :2] / len(x)
    return out


def _names(module: Any, x: Any) -> Any:
    y = module.linear(x)
    same = y
    y += 1
    y.view(-1, 2, 2)[:, 0].mul_(2)
    z = functional.leaky_relu(y, 0.1, inplace=True)
    return same.sum(1, keepdim=True) - z.exp()


def _scattered(_: Any, x: Any) -> Any:
    best = torch.zeros_like(x).scatter_(1, x.topk(2).indices, 1.0)
    order = x.argsort(-1)
    counts = torch.zeros(int(x.shape[0]), 3).scatter_add(1, order % 3, x)
    return best * x, x.scatter(1, order.flip(1), x.exp()), counts


def _numpy(module: Any, x: Any) -> Any:
    array = x.numpy()
    scaled = (array - array.mean(axis=1, keepdims=True)) / (np.std(array, axis=1, keepdims=True) + 0.1)
    return module.linear(torch.from_numpy(np.sort(np.tanh(scaled), axis=1)))


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("call", "code"),
    [
        (_items, "ops.concatenate([ops.zeros_like(x[:, :1]), x[:, 1:]], axis=-1)"),
        (_parts, "ops.concatenate([out[:, :4], "),
        (_names, "negative_slope=0.1)"),
        (_scattered, "scattered(x, "),
        (_numpy, "ops.sort(ops.tanh("),
    ],
)
def test_it_answers_the_same(call: Callable[..., Any], code: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = from_object(Forward(call).eval(), "net", SourceRef(reference="nets:build"), {}, (torch.randn(6, 4),))
    draft = Draft(source, "nets.weights.h5")
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    rungs = {rung.name: rung for rung in draft.rungs(draft.target(written))}
    assert all(rungs[name].holds for name in ("answers", "parameters", "gradients")), rungs
    assert code in draft.code.text, draft.code.text
    assert_formatted(written)


def _view_before(module: Any, x: Any) -> Any:
    first = module.linear(x)[:, 0]
    y = module.linear(x)
    first, view = y[:, 0], first
    y.mul_(2)
    return first + view


def _transposed(module: Any, x: Any) -> Any:
    y = module.linear(x)
    y.t().add_(1)
    return y


def _buffer(module: Any, x: Any) -> Any:
    module.seen.mul_(0.9)
    return x + module.seen


def _part_of_a_buffer(module: Any, x: Any) -> Any:
    module.seen[0] += 1
    return x + module.seen


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (_view_before, "changed in place at test_changes.py"),
        (_transposed, "changed in place at test_changes.py"),
        (_buffer, "forward changes a parameter or buffer"),
        (_part_of_a_buffer, "forward changes a parameter or buffer"),
    ],
)
def test_a_change_that_cannot_be_followed_is_refused_by_its_line(call: Callable[..., Any], said: str) -> None:
    with pytest.raises(NoCorrespondence, match=said) as caught:
        block_of(Forward(call).eval(), ([Given("x", (torch.randn(3, 4), torch.randn(5, 4)))], {}))
    assert "test_changes.py:" in str(caught.value)

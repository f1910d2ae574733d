"""A module that is as near as rounding leaves it: so near in its own precision, and no farther."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from onnxpress.core.tensors import parse_spec  # noqa: E402
from onnxpress.export.networks.pytorch.neighbours import neighbour, rounding_of  # noqa: E402

pytestmark = pytest.mark.torch
WIDE, NARROW = 2.0**-53, 2.0**-24


def _net(norm: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), norm, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()
    for value in norm.parameters():
        value.data = torch.rand_like(value)
    return net


NORMS = (
    nn.GroupNorm(2, 4),
    nn.GroupNorm(2, 4, affine=False),
    nn.InstanceNorm2d(4, affine=True),
    nn.BatchNorm2d(4, track_running_stats=False),
    nn.LayerNorm((4, 4)),
)


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: type(norm).__name__)
def test_a_mean_of_what_hardly_varies_moves_its_norm(norm: nn.Module) -> None:
    net = _net(norm)
    layer, x = net[1].double(), torch.full((3, 4, 4, 4), 0.7, dtype=torch.float64)
    apart = (neighbour(copy.deepcopy(layer), 0, NARROW)(x) - layer(x)).abs().max().item()
    most = 1.0 if layer.weight is None else layer.weight.max().item()
    assert 0.1 * most < apart / (NARROW * 0.7 * layer.eps**-0.5) < 1.5  # the norm's own deviation is its epsilon's root


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: type(norm).__name__)
def test_what_varies_is_moved_by_rounding_alone(norm: nn.Module) -> None:
    net = _net(norm).double()
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    for rounding in (WIDE, NARROW):
        other = neighbour(copy.deepcopy(net), 0, rounding)
        for value, own in zip(other.parameters(), net.parameters(), strict=True):
            assert ((value - own).abs() <= 2.0**-51 * own.abs()).all()
        apart = (other(x) - net(x)).abs().max().item()
        assert 0 < apart < 100 * rounding


def test_each_seed_is_another_way() -> None:
    net, x = _net(nn.GroupNorm(2, 4)).double(), torch.zeros(2, 2, 4, 4, dtype=torch.float64)
    answers = [neighbour(copy.deepcopy(net), seed, NARROW)(x) for seed in (0, 0, 1)]
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2])


def test_it_rounds_as_the_module_does() -> None:
    specs = {kind: [parse_spec(f"x:{kind}[batch,2]")] for kind in ("float32", "float64")}
    assert rounding_of(nn.Linear(2, 2), specs["float32"]) == NARROW
    assert rounding_of(nn.Linear(2, 2).double(), specs["float32"]) == WIDE
    assert rounding_of(nn.Linear(2, 2), specs["float64"]) == WIDE


def test_a_norm_of_the_authors_that_turns_its_axes_is_moved_as_any_layer() -> None:
    class Turned(nn.LayerNorm):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.transpose(1, 2)).transpose(1, 2)

    layer, x = Turned(5).double(), torch.randn(2, 5, 9, dtype=torch.float64)
    apart = (neighbour(copy.deepcopy(layer), 0, NARROW)(x) - layer(x)).abs().max().item()
    assert 0 < apart < 1e-6

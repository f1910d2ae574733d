"""Norms that Keras has not, written as classes of the module's own: what they answer, keep and learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.export.port.formatting import assert_formatted
from torch import nn

from onnxpress.export.port.draft import Draft
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


class Net(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(3, 6, 3, padding=1), norm, nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


def _x() -> torch.Tensor:
    return torch.randn(8, 3, 5, 6, generator=torch.Generator().manual_seed(0))


def _trained(norm: nn.Module) -> nn.Module:
    """Its statistics and its scale are no longer those of the beginning."""
    torch.manual_seed(0)
    net = Net(norm).train()
    for value in norm.parameters():
        value.data += 0.3 * torch.randn_like(value)
    with torch.no_grad():
        for number in range(3):
            net(_x() + number)
    return net.eval()


def _fixed(norm: nn.Module) -> nn.Module:
    return norm.requires_grad_(requires_grad=False)


def _stopped() -> nn.Module:
    net = _trained(nn.BatchNorm2d(6))
    net.norm.track_running_stats = False
    return net


NORMS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "untracked": (lambda: _trained(nn.BatchNorm2d(6, track_running_stats=False)), "UntrackedBatchNormalization("),
    "untracked, plain": (lambda: _trained(nn.BatchNorm2d(6, affine=False, track_running_stats=False)), "affine=False"),
    "untracked, fixed": (
        lambda: _trained(_fixed(nn.BatchNorm2d(6, track_running_stats=False))),
        "trainable=False",
    ),
    "averaged": (lambda: _trained(nn.BatchNorm2d(6, momentum=None)), "AveragedBatchNormalization("),
    "averaged from the start": (lambda: Net(nn.BatchNorm2d(6, momentum=None)).eval(), "AveragedBatchNormalization("),
    "averaged in float64": (
        lambda: _trained(nn.BatchNorm2d(6, momentum=None, affine=False)).double(),
        'dtype="float64"',
    ),
    "fixed": (lambda: _trained(_fixed(nn.BatchNorm2d(6))), "FixedBatchNormalization("),
    "stopped": (_stopped, "momentum=1.0"),
    "of instances": (
        lambda: _trained(nn.InstanceNorm2d(6, affine=True, track_running_stats=True)),
        "TrackedInstanceNormalization(",
    ),
    "of instances, untracked": (lambda: _trained(nn.InstanceNorm2d(6, affine=True)), "GroupNormalization(6"),
}


def _draft(net: nn.Module, path: Path) -> Draft:
    x = _x().to(next(net.parameters()).dtype)
    draft = Draft(from_object(net, "net", SourceRef(reference="nets:build"), {}, x), "nets.weights.h5")
    path.write_text(draft.code.text)
    return draft


@pytest.mark.parametrize("kind", NORMS)
def test_every_rung_holds(kind: str, tmp_path: Path) -> None:
    build, code = NORMS[kind]
    written = tmp_path / "nets.py"
    draft = _draft(build(), written)
    assert {rung.name: rung.holds for rung in draft.rungs(draft.target(written))} == dict.fromkeys(
        ("answers", "parameters", "gradients", "training"), True
    )
    assert code in draft.code.text
    assert_formatted(written)


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "rung", "said"),
    [
        ("untracked", "ops.moments(x, axes)", "ops.moments(x, axes[1:])", "answers", "failed"),
        ("untracked", "epsilon=1e-05, name", "epsilon=3e-05, name", "answers", "the worst"),
        ("averaged", "/ self.batches)", "* 0.1)", "training", "norm.running_mean is another"),
        # After one batch alone the mean of all and the last are the same.
        ("averaged from the start", "/ self.batches", "/ 1.0", "training", "norm.running_mean is another"),
        ("averaged", "        self.batches.assign_add(1.0)\n", "", "training", "is another"),
        ("fixed", "self.gamma.trainable = self.beta.trainable = False", "pass", "parameters", "learns in one"),
        ("fixed", "FixedBatchNormalization(momentum", "layers.BatchNormalization(trainable=False, momentum",
         "training", "norm.running_mean is another"),
        ("stopped", "momentum=1.0", "momentum=0.9", "training", "norm.running_mean is another"),
        ("of instances", "ops.mean(new, axis=0)", "new[0]", "training", "norm.running_mean is another"),
        ("of instances", "range(1, x.ndim)", "range(x.ndim)", "training", "norm.running_var is another"),
    ],
)  # fmt: skip
def test_a_fault_is_caught(kind: str, right: str, wrong: str, rung: str, said: str, tmp_path: Path) -> None:
    written = tmp_path / "nets.py"
    draft = _draft(NORMS[kind][0](), written)
    assert right in draft.code.text
    written.write_text(draft.code.text.replace(right, wrong))
    failed = [found for found in draft.rungs(draft.target(written)) if found.holds is False]
    assert rung in [found.name for found in failed]
    assert any(said in found.detail or said == "failed" for found in failed)


def test_rows_that_are_all_alike_are_no_excuse(tmp_path: Path) -> None:
    """At zeros a norm over the batch makes much of rounding, and a little of a fault is not taken for it."""
    written = tmp_path / "nets.py"
    draft = _draft(NORMS["untracked"][0](), written)
    draft.asked = [case for case in draft.asked if case.name.startswith("zeros")]
    assert draft.answers(draft.target(written)).holds
    written.write_text(draft.code.text.replace("return self.out(", "return 0.9995 * self.out("))
    assert not draft.answers(draft.target(written)).holds

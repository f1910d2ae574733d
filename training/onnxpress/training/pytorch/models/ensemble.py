"""Several networks of one family as one in PyTorch: the mean of their probabilities. Read beside the Keras one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from onnxpress.core.dotted import load_factory
from onnxpress.core.errors import BadModel


class Network(nn.Module):
    """The members' inputs → probabilities (batch, classes) float32."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.count = len(members)
        for number, member in enumerate(members):
            self.add_module(f"member_{number}", member)

    def forward(self, *inputs: Tensor) -> Tensor:
        answers = [self.get_submodule(f"member_{number}")(*inputs) for number in range(self.count)]
        return torch.stack([answer.softmax(dim=-1) for answer in answers]).mean(dim=0)


def build(member: str, settings: dict[str, Any], count: int) -> nn.Module:
    """`count` fresh networks of the family's module `member`, built with `settings`, each of logits (batch, classes).

    Raises BadModel for a member that is no module of onnxpress's.
    """
    if not member.isidentifier():  # a run folder names it: it must not reach any other function
        raise BadModel(f"an ensemble of {member!r}, which is no family's network")
    factory = load_factory(f"onnxpress.training.pytorch.models.{member}:build")
    return Network([factory(**settings) for _ in range(count)])

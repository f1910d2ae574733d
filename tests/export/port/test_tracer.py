"""What forward does is followed; where it cannot be, its line is named."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from onnxpress.export.port.from_torch.blocks import block_of
from onnxpress.export.port.from_torch.structures import Given
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block

pytestmark = pytest.mark.torch


def traced(module: nn.Module, *shapes: tuple[int, ...]) -> Block:
    given = [Given(f"x{n}", (torch.randn(3, *shape), torch.randn(5, *shape))) for n, shape in enumerate(shapes)]
    return block_of(module.eval(), (given, {}))


class BySize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> Any:
        if x.dim() == 3:
            x = x.reshape(x.shape[0], -1)
        return self.linear(x)


class ByValue(BySize):
    def forward(self, x: torch.Tensor) -> Any:
        if x.sum() > 0:
            return self.linear(x)
        return x


class ByBatch(BySize):
    def forward(self, x: torch.Tensor) -> Any:
        return self.linear(x) if x.shape[0] > 1 else x


def test_a_way_that_depends_on_the_rank_is_followed() -> None:
    names = [step.name for step in traced(BySize(), (2, 3)).steps if step.kind == "function"]
    assert "reshape" in names
    assert "reshape" not in [step.name for step in traced(BySize(), (6,)).steps]


class Drawing(BySize):
    def forward(self, x: torch.Tensor) -> Any:
        x = self.linear(x)
        if self.training:
            x = x + torch.randn_like(x)
        return x * 2


def test_the_line_that_training_mode_alone_takes_is_told() -> None:
    block = traced(nn.Sequential(Drawing()), (6,))
    assert [line.partition(":")[0] for line in block.all_trained_at()] == ["test_tracer.py"]
    assert traced(nn.Sequential(BySize()), (6,)).all_trained_at() == []


@pytest.mark.parametrize(("module", "said"), [(ByValue, "values of a tensor"), (ByBatch, "a size that varies")])
def test_a_way_that_depends_on_a_value_is_refused_by_its_line(module: type[nn.Module], said: str) -> None:
    with pytest.raises(NoCorrespondence, match=said) as caught:
        traced(module(), (6,))
    assert str(caught.value.where).startswith("test_tracer.py:")


def test_the_source_s_own_names_are_kept() -> None:
    class Named(BySize):
        def forward(self, x: torch.Tensor) -> Any:
            scores = self.linear(x)
            return scores + 1

    assert ("scores",) in [step.variables for step in traced(Named(), (6,)).steps]


class Answers(nn.Module):
    """Takes and answers more than plain tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def forward(self, batch: dict[str, torch.Tensor], scale: torch.Tensor | None = None) -> Any:
        found = self.inner((batch["a"], batch["b"]))
        return {"sum": found["sum"], "nothing": scale}


class Inner(nn.Module):
    def forward(self, pair: Any) -> Any:
        a, b = pair
        return {"nothing": None, "difference": a - b, "sum": a.add_(b)}


def test_tensors_within_dicts_and_tuples_are_followed_and_changes_in_place_are_seen() -> None:
    one = torch.randn(3, 4), torch.randn(5, 4)
    found = block_of(Answers(), ([{"a": Given("a", one), "b": Given("b", one)}], {}))
    assert [step.name for step in found.steps if step.kind == "input"] == ["a", "b"]
    inner = found.children["inner"]
    assert [step.name for step in inner.steps if step.kind == "function"] == ["sub", "add"]
    (answer,) = next(step.args for step in inner.steps if step.kind == "output")
    assert len(answer) == 2  # without the None


def test_a_mask_that_no_input_decides_is_asked_for_its_values() -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mask = torch.ones(x.shape[1], x.shape[1]).tril()
            return x * 2 if bool(mask[0, 0] > 0) else x

    assert [step.name for step in traced(Masked(), (4,)).steps if step.kind == "function"] == ["mul"]


def test_a_module_that_is_called_with_other_plain_numbers_is_followed_where_it_is_called() -> None:
    class Scaled(BySize):
        def forward(self, x: torch.Tensor, factor: int = 1) -> Any:
            return self.linear(x) * factor

    class Twice(nn.Module):
        def __init__(self, second: int) -> None:
            super().__init__()
            self.scaled = Scaled()
            self.second = second

        def forward(self, x: torch.Tensor) -> Any:
            return self.scaled(x, 2) + self.scaled(x + 1, self.second)

    assert list(traced(Twice(2), (6,)).children) == ["scaled"]
    followed = traced(Twice(3), (6,))
    assert list(followed.children) == ["scaled.linear"]
    assert [step.args[1] for step in followed.steps if step.name == "mul"] == [2, 3]


def test_a_module_that_is_called_with_other_sizes_is_followed_where_its_code_would_hold_them() -> None:
    class Cut(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x.flatten(1) * 2

    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x * 2

    class Twice(nn.Module):
        def __init__(self, part: nn.Module) -> None:
            super().__init__()
            self.part = nn.Sequential(part)

        def forward(self, x: torch.Tensor) -> Any:
            return self.part(x), self.part(x[:, :2])

    assert list(traced(Twice(Scaled()), (3, 4)).children) == ["part"]
    assert list(traced(Twice(Cut()), (3, 4)).children) == []


def test_what_forward_keeps_on_the_module_is_forgotten_and_what_it_makes_is_followed() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask: Any = None

        def forward(self, x: torch.Tensor) -> Any:
            if self.mask is None or self.mask.shape[0] != x.shape[1]:
                self.mask = torch.ones(x.shape[1])
            with torch.no_grad():
                weights = x * self.mask
            return nn.Softmax(dim=1)(weights)

    module = Keeps().eval()
    found = traced(module, (4,))
    assert [step.name for step in found.steps if step.kind == "function"] == ["ones", "mul", "detach", "softmax"]
    assert module.mask is None


def test_a_rate_of_dropout_is_told_also_where_forward_is_called_by_its_name() -> None:
    class Attention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rate = 0.25 if self.training else 0.0
            return functional.scaled_dot_product_attention(x, x, x, dropout_p=rate)

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = Attention()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention.forward(x)

    found = traced(Holder(), (3, 4))
    assert [step.kwargs["dropout_p"] for step in found.steps if step.kind == "function"] == [0.25]


def cached(forward: Callable[..., Any]) -> Callable[..., Any]:
    """As a decorator of transformers' does: what was not given by name is added by name."""

    @functools.wraps(forward)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        return forward(self, *args, **{"keeps": False, "factor": 1.0, **kwargs})

    return called


def test_what_is_given_by_name_stays_named() -> None:
    class Inner(nn.Module):
        @cached
        def forward(self, x: torch.Tensor, y: Any = None, keeps: Any = None, *, factor: float = 2.0) -> Any:
            return (x if keeps else x - y) * factor

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return self.inner(x, factor=3.0, keeps=False, y=y)

    found = traced(Outer(), (4,), (4,))
    inner = next(step for step in found.steps if step.kind == "block")
    assert [step.name for step in found.steps if step.number in {ref.number for ref in inner.args}] == ["x0", "x1"]
    steps = found.children["inner"].steps
    assert [step.name for step in steps] == ["x", "y", "sub", "mul", ""]
    assert steps[3].args[1] == 3.0

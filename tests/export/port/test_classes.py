"""Objects of one class that have a part, a stride or a sum that others have not are written as one class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.export.port.formatting import assert_formatted
from tests.export.port.test_carrying import source_of
from torch import nn

from onnxpress.export.port.classes import merged
from onnxpress.export.port.draft import Draft
from onnxpress.export.port.proof.parameters import parameters

SHORT = ["out = self.conv(x)", "out = out + self.short(x)", "return ops.relu(out)"]
WITHOUT = ["out = self.conv(x)", "out = out + x", "return ops.relu(out)"]


def _class(name: str, made: list[str], call: list[str], framework: str = "keras") -> list[str]:
    """The lines of a class with these layers and this call."""
    keras = framework == "keras"
    return [
        f"class {name}({'layers.Layer' if keras else 'nn.Module'}):",
        f"    def __init__(self{', **options' if keras else ''}):",
        f"        super().__init__({'**options' if keras else ''})",
        *(f"        self.{line}" for line in made),
        "",
        f"    def {'call' if keras else 'forward'}(self, x):",
        *(f"        {line}" for line in call),
    ]


def _merged(one: list[str], other: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """What two classes came to, and the calls of both."""
    classes, calls = {"A": one, "A2": other}, ["[A(), A2()]"]
    merged(classes, [calls], {"A": "A", "A2": "A"})
    return classes, calls


def test_a_part_that_some_have_is_an_identity_in_the_others() -> None:
    conv = "conv = layers.Conv2D({0}, 3, strides={1})"
    part = "short = layers.Conv2D(16, 1, strides=2)"
    classes, calls = _merged(_class("A", [conv.format(8, 1)], WITHOUT), _class("A2", [conv.format(16, 2), part], SHORT))
    assert calls == ["[A(8), A(16, stride=2, short=True)]"]
    assert classes["A"][1] == "    def __init__(self, filters, stride=1, short=False, **options):"
    assert classes["A"][4:8] == [
        "        if short:",
        "            self.short = layers.Conv2D(filters, 1, strides=stride)",
        "        else:",
        "            self.short = layers.Identity()",
    ]
    assert [line.strip() for line in classes["A"][-3:]] == SHORT


def test_in_torch_too_and_parts_that_go_together_have_one_argument() -> None:
    made = ["conv = nn.Conv2d(8, 8, 3)", "bn = nn.BatchNorm2d(8)", "short = nn.Conv2d(4, 8, 1)"]
    call = ["return self.conv(x) + self.bn(self.short(x))"]
    classes, calls = _merged(
        _class("A", made, call, "torch"), _class("A2", [made[0]], ["return self.conv(x) + x"], "torch")
    )
    assert calls == ["[A(with_bn=True), A()]"]
    assert "            self.short = nn.Identity()" in classes["A"]


def test_a_second_name_of_what_is_given_is_the_same() -> None:
    part = ["conv = layers.Dense(4)", "short = layers.Dense(4)"]
    one = _class("A", part, ["res = self.short(x)", "return self.conv(x) + res"])
    classes, calls = _merged(one, _class("A2", part[:1], ["return self.conv(x) + x"]))
    assert calls == ["[A(short=True), A()]"]
    assert classes["A"][-2:] == one[-2:]


def test_what_adds_its_input_says_so() -> None:
    made = ["conv = layers.Dense(4)"]
    classes, calls = _merged(
        _class("A", made, ["return self.conv(x)"]), _class("A2", made, ["return x + self.conv(x)"])
    )
    assert calls == ["[A(), A(residual=True)]"]
    assert "        self.residual = residual" in classes["A"]
    assert [line.strip() for line in classes["A"][-3:]] == [
        "if self.residual:",
        "return x + self.conv(x)",
        "return self.conv(x)",
    ]


@pytest.mark.parametrize(
    "call",
    [
        ["out = self.conv(x)", "out = out + out", "return ops.relu(out)"],
        ["out = self.conv(x)", "out = out + 2 * x", "return ops.relu(out)"],
        ["out = self.conv(x)", "out = out - x", "return ops.relu(out)"],
        ["out = self.conv(x)", "return ops.relu(out)"],
        ["x = self.conv(x)", "out = x + x", "return ops.relu(out)"],
    ],
)
def test_where_the_others_compute_something_else_the_classes_stay(call: list[str]) -> None:
    part = ["conv = layers.Dense(4)", "short = layers.Dense(4)"]
    classes, _ = _merged(_class("A", part, SHORT), _class("A2", part[:1], call))
    assert list(classes) == ["A", "A2"]


@pytest.mark.parametrize(
    ("call", "others"),
    [
        (["out = self.short(x) + y", "return out * 2"], ["return x + y * 2"]),
        (["out = self.short(x)", "y = y + 1", "return out - y"], ["return y + 1 - x"]),
        (["a, b = self.pair(y)", "return self.short(x) + a - b"], ["a, b = self.pair(y)", "return x + b - a"]),
        (["x = self.short(x)", "return x + y"], ["x = y", "return x + y"]),
    ],
)
def test_a_value_that_is_named_is_not_taken_for_another(call: list[str], others: list[str]) -> None:
    part = ["conv = layers.Dense(4)", "short = layers.Dense(4)"]
    classes, _ = _merged(_class("A", part, call), _class("A2", part[:1], others))
    assert list(classes) == ["A", "A2"]


def test_numbers_follow_where_values_have_other_names() -> None:
    made = ["conv = layers.Dense(4)"]
    classes, calls = _merged(
        _class("A", made, ["a = ops.roll(x, 1)", "b = ops.clip(x, 2, 8)", "return self.conv(ops.dot(b, a))"]),
        _class("A2", made, ["return self.conv(ops.dot(ops.clip(x, 2, 8), ops.roll(x, 3)))"]),
    )
    assert calls == ["[A(1), A(3)]"]
    assert classes["A"][-3:-1] == ["        a = ops.roll(x, self.size)", "        b = ops.clip(x, 2, 8)"]


@pytest.mark.parametrize(
    "call", ["self.short(self.short(x))", "self.short(x) + x", "self.short(x, 2)", "self.short.bias"]
)
def test_a_part_that_is_no_layer_of_one_call_stays(call: str) -> None:
    part = ["conv = layers.Dense(4)", "short = layers.Dense(4)"]
    classes, _ = _merged(
        _class("A", part, ["res = x", "res = self.conv(res)", f"return res + {call}"]),
        _class("A2", part[:1], ["res = x", "res = self.conv(res)", "return res + x"]),
    )
    assert list(classes) == ["A", "A2"]


class Block(nn.Module):
    """As residual networks have it."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, after, 3, stride, padding=1)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv1d(before, after, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x) + self.shortcut(x))


class Inverted(nn.Module):
    """Adds its input where it can."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(before, 12, 1), nn.Conv1d(12, after, 3, stride, padding=1))
        self.adds = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


@pytest.mark.torch
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("kind", "said"), [(Block, "Block(8, stride=2, shortcut=True)"), (Inverted, "Inverted(8, stride=2)")]
)
def test_what_is_one_class_in_the_source_is_one_here(
    kind: Callable[[int, int, int], nn.Module], said: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(kind(4, 4, 1), kind(4, 8, 2), kind(8, 8, 1))
    draft = Draft(source_of(net, (torch.randn(3, 4, 16),)), "nets.weights.h5")
    (tmp_path / "nets.py").write_text(draft.code.text)
    target = draft.target(tmp_path / "nets.py")
    assert draft.answers(target).holds
    assert parameters(draft.code, target, draft.state, draft.learning).holds
    assert draft.code.text.count(f"class {kind.__name__}") == 1
    assert said in draft.code.text
    assert_formatted(tmp_path / "nets.py")

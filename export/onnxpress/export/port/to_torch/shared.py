"""What all classes of one written model know: its weights, what learns, and the classes so far."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from onnxpress.core.tensors import TensorSpec
from onnxpress.export.port import own_layers
from onnxpress.export.port.classes import merged
from onnxpress.export.port.steps import Block


@dataclass
class Shared:
    """Of one model."""

    learning: frozenset[str]
    parameters: frozenset[str]
    tied: dict[str, str]
    """a parameter's other names → its first"""
    lines: Callable[[Block, str, Shared], list[str]]
    """the lines of a block's class, its name as \\0"""
    classes: dict[str, list[str]] = field(default_factory=dict)
    """class name → lines"""
    bases: dict[str, str] = field(default_factory=dict)
    """class name → the same without a number behind it"""
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()
    """parameters that a function of the module freezes"""
    functions: list[str] = field(default_factory=list)
    """of the module, before its classes"""
    named: dict[str, str] = field(default_factory=dict)
    """the path of a block → its class"""
    specs: Sequence[TensorSpec] = ()
    """of the model's inputs"""

    def full(self, path: str, name: str) -> str:
        """A name from the model on."""
        return f"{path}.{name}" if path else name

    def within(self, path: str, name: str) -> str | None:
        """A full name from the block at `path` on; None where it lies elsewhere."""
        if not path:
            return name
        return name.removeprefix(f"{path}.") if name.startswith(f"{path}.") else None

    def learns(self, path: str) -> set[bool]:
        """Whether training changes the written parameters below `path`: both where it changes some."""
        below = [name for name in self.state if name in self.parameters and self.within(path, name) is not None]
        return {name in self.learning for name in below if name not in self.settled}

    def keep(self, where: str, value: Any) -> None:
        """The tensor, or the layer's tensors, are part of the written model."""
        found = {"": value} if isinstance(value, torch.Tensor) else value.state_dict(keep_vars=True)
        for name, tensor in found.items():
            self.state[self.full(where, name) if name else where] = tensor.detach()

    def block(self, block: Block, path: str) -> str:
        """The class of a block, one for all that are written alike."""
        name = self.named[path] = self._placed(type(block.owner).__name__, self.lines(block, path, self))
        return name

    def merge(self, others: Sequence[list[str]]) -> None:
        """Let classes that differ in sizes and optional parts alone be one; `others` are lines that make them."""
        now = merged(self.classes, others, self.bases)
        self.named = {path: now[name] for path, name in self.named.items()}

    def own(self, layer: torch.nn.Module) -> str:
        """The class of a layer that torch has not."""
        return self._placed(type(layer).__name__, own_layers.source(layer))

    def space(self, name: str, init: list[str]) -> str:
        """A class that only holds, called."""
        return f"{self._placed(name, body(init))}()"

    def _placed(self, base: str, body: list[str]) -> str:
        base = base.lstrip("_") or "Block"
        for name in itertools.chain([base], (f"{base}{n}" for n in itertools.count(2))):
            lines = [line.replace("\0", name) for line in body]
            if self.classes.setdefault(name, lines) == lines:
                self.bases[name] = base
                return name
        raise AssertionError


def body(init: list[str], doc: str = "") -> list[str]:
    """The lines of a class up to the end of `__init__`."""
    lines = ["class \0(nn.Module):"]
    if doc:
        lines.append(f'    """{doc}"""')
    if init:
        lines += [*([""] if doc else []), "    def __init__(self):", "        super().__init__()"]
        lines += [" " * 8 + line for line in init]
    return lines

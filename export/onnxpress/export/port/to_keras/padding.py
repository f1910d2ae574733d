"""Which convolutions are written with `padding="same"`, and which with a layer that pads before them."""

from __future__ import annotations

from typing import Any

from torch import nn


class Padding:
    """Of one model, whose module is `root`.

    Under strides Keras's `same` pads at other ends than torch, so there a layer pads. Where one object of a class has
    strides, the same convolution of all its objects is written so, that one class can be all of them.
    """

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._strided: set[tuple[str, str]] = set()
        self._same: set[tuple[str, str]] = set()

    def begin(self) -> None:
        """The model is written anew."""
        self._same.clear()

    def is_same(self, path: str, *, is_strided: bool) -> bool:
        """Whether the convolution at this path, over windows that are padded alike at both ends, has `same`."""
        place = self._place(path)
        if is_strided:
            self._strided.add(place)
        if place in self._strided:
            return False
        self._same.add(place)
        return True

    def is_one_form(self) -> bool:
        """Whether no convolution was written with `same` before one at its place in another object had strides."""
        return not self._same & self._strided

    def _place(self, path: str) -> tuple[str, str]:
        """The class of the innermost module, but for lists, that the convolution is in, and its path from there."""
        module: Any = self._root
        name, below = type(module).__name__, list[str]()
        *parents, last = path.split(".")
        for part in parents:
            module = getattr(module, part, None)
            below.append(part)
            if not isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict):
                name, below = type(module).__name__, []
        return name, ".".join([*below, last])

"""The steps of one block in torch's vocabulary; each is run as it is made, at two sizes of what varies."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from onnxpress.export.port.from_keras.running import computed
from onnxpress.export.port.from_keras.shared import Shared
from onnxpress.export.port.from_keras.values import Value
from onnxpress.export.port.layout import Unordered, identity
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block, Ref, Shown, Step, changed, shown_of, without_dead


class Stepping:
    """Makes one block. `path` is the block's from the model on, with a dot behind it."""

    def __init__(self, shared: Shared, path: str, class_name: str, keras_name: str) -> None:
        self.shared, self.path, self.keras_name = shared, path, keras_name
        self.owner: nn.Module = type(class_name, (nn.Module,), {})()
        self.steps: list[Step] = []
        self.children: dict[str, Any] = {}
        self.pairs: dict[int, tuple[Any, Any]] = {}
        self.arrays: dict[Any, Value] = {}
        """what is made of sizes that vary"""
        self.paths: dict[Any, str] = {}
        """(the id of a Keras layer, a part of it) → its path here"""
        self.names: set[str] = set()
        self.where = keras_name
        """what is being written, for a refusal"""

    def step(self, kind: str, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None,
             comment: str = "", pair: tuple[Any, Any] | None = None) -> int:  # fmt: skip
        """Add a step and run it at both sizes. Returns its number."""
        step = Step(len(self.steps), kind, name, changed(args, _ref), changed(kwargs or {}, _ref), comment=comment)
        step.where = self.where
        if pair is None:
            try:
                with torch.no_grad():
                    pair = (self._computed(step, 0), self._computed(step, 1))
            except NoCorrespondence:
                raise
            except Exception as error:
                said = str(error).strip().partition("\n")[0]
                raise self.refuse(f"torch's {name} cannot be called so: {said}") from error
        self.pairs[step.number] = pair
        step.shown = shown_of(*pair)
        self.steps.append(step)
        return step.number

    def _computed(self, step: Step, which: int) -> Any:
        return computed(step, self.owner, self.children, lambda number: self.pairs[number][which])

    def function(
        self, name: str, *args: Any, perm: tuple[int, ...] | None = None, called: str = "", comment: str = "",
        **kwargs: Any,
    ) -> Value:  # fmt: skip
        """The value of one of torch's functions, its axes as `perm` says, in Keras's order without it.

        `called` is the variable that holds it in the code, where it has one.
        """
        number = self.step("function", name, args, kwargs, comment)
        self.steps[number].variables = (called,) if called else ()
        return self.value(number, perm)

    def like(self, value: Value, name: str, *args: Any, **kwargs: Any) -> Value:
        """The same with the layout of `value`."""
        found = self.function(name, *args, perm=value.perm, **kwargs)
        found.order, found.made_by = value.order, value.made_by
        return found

    def value(self, number: int, perm: tuple[int, ...] | None = None) -> Value:
        """The step's tensor as a value."""
        first, second = self.pairs[number]
        perm = identity(first.dim()) if perm is None else perm
        back = [perm.index(axis) for axis in range(len(perm))]
        shown = Shown(
            tuple(first.shape[p] for p in back),
            tuple(second.shape[p] for p in back),
            str(first.dtype).removeprefix("torch."),
        )
        return Value(Ref(number), shown, perm)

    def input(self, name: str, pair: tuple[Any, Any], perm: tuple[int, ...]) -> Value:
        """An argument of the block."""
        return self.value(self.step("input", name, pair=pair), perm)

    def size(self, value: Value, axis: int) -> Any:
        """An axis's size: a number, or the step that reads it where it varies."""
        size = value.sizes[axis % value.rank]
        return size if size is not None else Ref(self.step("function", "size", (value, value.place(axis))))

    def refuse(self, what: str, hint: str | None = None) -> NoCorrespondence:
        """The refusal of what is being written, to be raised."""
        return NoCorrespondence(what, where=self.where or None, hint=hint)

    def settle(self, value: Value) -> Value:
        """The value, its last axis in Keras's order. Raises Unordered where it is not: it is written anew then."""
        if value.order is not None:
            raise Unordered(value.made_by)
        return value

    def block(self, outputs: Any) -> Block:
        """The finished block. `outputs` is a structure of Values."""
        self.steps.append(Step(len(self.steps), "output", "", args=(changed(outputs, _ref),)))
        return Block(self.owner, without_dead(self.steps), self.children, self.path.rstrip("."))


def _ref(value: Any) -> Any:
    return value.ref if isinstance(value, Value) else value

"""An ONNX graph read node by node into steps of torch's vocabulary, each computed at two sizes of what varies.

What the node computes is known from the numpy evaluator. Every step is computed by torch too, and where the two part
the node is refused by its name, so that no operator is carried wrong in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated, NumpyGraph
from onnxpress.export.port.from_keras.running import function
from onnxpress.export.port.from_onnx.naming import Names
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Ref, Step, changed, shown_of

Carry = Callable[..., Array]
"""arrays of initializers → the parameter; linear, so that it carries derivatives too"""
Weights = Mapping[str, tuple[Any, "Carry | None"]]
"""a layer's parameter → the constant, or several, that it is made of, and how"""


@dataclass
class Val:
    """What a tensor of the graph is in the steps: computed by one, a constant, or sizes."""

    pair: tuple[Any, Any]
    """what it is at both sizes, as torch has it"""
    ref: Ref | None = None
    const: Array | None = None
    """of what is the same whatever is asked"""
    items: list[Any] | None = None
    """of a vector of sizes: each a number, or the Val of a size that varies"""
    scalar: bool = False
    """whether `items` is one size without an axis"""
    initializer: str | None = None
    alias: str | None = None
    """the name that the graph gives the initializer here, where exporters keep one for several that are equal"""
    made: Carry = lambda a: a
    """the initializer's array → `const`"""
    fixed: bool = False
    """whether it depends on sizes alone"""

    @property
    def label(self) -> str | None:
        """What the graph calls the initializer."""
        return self.alias or self.initializer

    @property
    def first(self) -> Any:
        """What it is at the first size."""
        return self.pair[0]

    @property
    def rank(self) -> int:
        """How many axes."""
        return int(self.pair[0].dim())

    def size(self, axis: int) -> int | None:
        """The axis's size; None where it varies."""
        a, b = (value.shape[axis] for value in self.pair)
        return int(a) if a == b else None


@dataclass
class Origin:
    """What a parameter of the written model is made of."""

    initializers: tuple[str, ...]
    carry: Carry


@dataclass
class Reading:
    """The steps so far, and what the graph's tensors are in them."""

    proto: onnx.ModelProto
    names: Names
    values: dict[str, Val] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    scopes: dict[int, str] = field(default_factory=dict)
    """a step → the path of the block that the graph's own names say it is in"""
    layers: dict[str, nn.Module] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    """parameters and buffers that no layer holds, by path"""
    origins: dict[str, Origin] = field(default_factory=dict)
    pairs: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    node: Any = None
    extra: int = 0
    """steps that were put in after all were read"""
    opset: int = 0
    uses: dict[str, int] = field(default_factory=dict)
    """how often each tensor of the graph is read"""
    readers: dict[str, list[Any]] = field(default_factory=dict)
    """the nodes that read it"""
    ahead: dict[str, Val] = field(default_factory=dict)
    """tensors that an earlier node was read together with"""
    unchecked: set[str] = field(default_factory=set)
    """those within such nodes"""
    made: dict[int, Val] = field(default_factory=dict)
    """a step → what it computes"""
    _known: dict[Any, str] = field(default_factory=dict)
    """a layer with its initializers → its path"""
    _folded: dict[Any, Val] = field(default_factory=dict)
    """constants that the graph computes of constants, by their values"""
    _tensor_steps: dict[int, tuple[Val, Val]] = field(default_factory=dict)

    def refuse(self, what: str, hint: str | None = None) -> NoCorrespondence:
        """The refusal of the node that is being read, to be raised."""
        return NoCorrespondence(what, where=f"node {self.node.name or self.node.output[0]!r}", hint=hint)

    # steps

    def call(self, name: str, *args: Any, **kwargs: Any) -> Val:
        """The function of torch, as a step of its own."""
        return self._add("function", name, args, kwargs, None)

    def placed(self, kind: str, module: nn.Module, weights: Weights, *args: Any) -> Val:
        """The call of a layer whose parameters are made of the graph's constants; one for all with the same weights.

        `kind` is its name where the graph gives none.
        """
        values = {name: (v if isinstance(v, tuple) else (v,), carry) for name, (v, carry) in weights.items()}
        names = [value.initializer for several, _ in values.values() for value in several]
        key = (str(module), tuple(value.label for several, _ in values.values() for value in several), self._scope())
        path = self._known.get(key) if names and None not in names else None
        if path is None:
            path = self.names.layer(self.node, [v.label for several, _ in values.values() for v in several], kind)
            for several, _ in values.values():
                module.to(torch.from_numpy(np.zeros(1, self.constant(several[0]).dtype)).dtype)
            self.layers[path] = module.eval()
            for name, (several, carry) in values.items():
                self._carry(path, name, several, carry or (lambda a: a))
            self._known[key] = path
        return self._add("layer", path, args, {}, self.layers[path])

    def _add(self, kind: str, name: str, args: Any, kwargs: dict[str, Any], module: nn.Module | None) -> Val:
        compute: Callable[..., Any] = module if module is not None else function(name)
        if module is None and kwargs:  # an operator takes none: div with a rounding mode is torch's function
            compute = getattr(torch, name, compute)
        pair = tuple(_computed(compute, *_at((args, kwargs), which)) for which in (0, 1))
        fixed = name == "size" or all(v.fixed or v.ref is None for v in _vals((args, kwargs)))
        args, kwargs = changed(args, self._written), changed(kwargs, self._written)
        where = f"node {self.node.name or self.node.output[0]!r}"
        number = len(self.steps)
        self.steps.append(Step(number, kind, name, tuple(args), kwargs, shown_of(*pair), where=where))
        self.scopes[number] = name if kind == "layer" else self.names.scope(self.node)
        self.pairs[number] = (pair[0], pair[1])
        found = Val((pair[0], pair[1]), Ref(number), fixed=fixed)
        self.made[number] = found
        return found

    def number(self) -> int:
        """A number that no step has."""
        self.extra += 1
        return len(self.steps) + self.extra - 1

    def _scope(self) -> str:
        return self.names.scope(self.node)

    def step(self, value: Val | None) -> Step | None:
        """The step that computes the value."""
        return self.steps[value.ref.number] if value is not None and value.ref is not None else None

    def source(self, value: Val, place: int = 0) -> Val:
        """The argument of the step that computes the value."""
        step = self.step(value)
        assert step is not None
        return self.made[step.args[place].number]

    def part(self, value: Val, *places: int) -> Val:
        """One of several that a step computes."""
        for place in places:
            value = self.call("getitem", value, place)
        return value

    def input(self, name: str, pair: tuple[torch.Tensor, torch.Tensor]) -> Val:
        """An input of the model."""
        number = len(self.steps)
        self.steps.append(Step(number, "input", self.names.identifier(name), shown=shown_of(*pair)))
        self.scopes[number] = ""
        self.made[number] = Val(pair, Ref(number))
        return self.made[number]

    def _written(self, value: Any) -> Any:
        """An argument as it stands in a step: a Ref, a number, or a parameter made for it."""
        if not isinstance(value, Val):
            return value
        if value.ref is not None:
            return value.ref
        if value.items is not None and value.scalar:
            return self._written(value.items[0])
        if value.const is not None and value.const.ndim == 0:
            return value.const.item()
        if value.const is not None:
            return self.tensor(value).ref
        raise self.refuse("sizes are used as a tensor, which has no correspondence")

    # constants

    def constant(self, value: Val | None) -> Array:
        """The constant's array. Raises NoCorrespondence where it depends on what is asked."""
        if value is None or value.const is None:
            raise self.refuse(f"{self.node.op_type} with a value that is no constant has no correspondence")
        return value.const

    def tensor(self, value: Val) -> Val:
        """A constant of the graph as a parameter, or of what training leaves alone a buffer, of the model's own."""
        if value.ref is not None or value.const is None:
            return value
        if id(value) in self._tensor_steps:
            return self._tensor_steps[id(value)][1]
        array = value.const
        is_folded = value.label is None
        same = (array.dtype.str, array.shape, array.tobytes())
        if is_folded and same in self._folded:
            return self._folded[same]
        path = self.names.constant(array.dtype.kind == "b") if is_folded else self.names.tensor(value.label or "")
        held = torch.from_numpy(np.array(array))
        learns = value.initializer is not None and array.dtype.kind == "f" and array.size > 1
        self.tensors[path] = nn.Parameter(held) if learns else held
        if value.initializer is not None and array.dtype.kind == "f":
            self.origins[path] = Origin((value.initializer,), value.made)
        number = len(self.steps)
        self.steps.append(Step(number, "parameter", path, shown=shown_of(held, held)))
        self.scopes[number] = path.rpartition(".")[0]
        self.made[number] = Val(
            (held, held), Ref(number), const=array, initializer=value.initializer, alias=value.alias, made=value.made,
            fixed=True,
        )  # fmt: skip
        if is_folded:
            self._folded[same] = self.made[number]
        self._tensor_steps[id(value)] = (value, self.made[number])
        return self.made[number]

    def _carry(self, path: str, parameter: str, values: tuple[Val, ...], carry: Carry) -> None:
        """The layer's parameter is made of several constants."""
        made = carry(*(self.constant(value) for value in values))
        module: Any = self.layers[path]
        held = getattr(module, parameter)
        if tuple(held.shape) != made.shape:
            raise self.refuse(f"{parameter} has the shape {made.shape}, where {tuple(held.shape)} is wanted")
        with torch.no_grad():
            held.copy_(torch.from_numpy(np.array(made)))
        names = tuple(value.initializer or "" for value in values)
        if all(names):
            before = tuple(value.made for value in values)
            self.origins[f"{path}.{parameter}"] = Origin(
                names, lambda *arrays: carry(*(one(a) for one, a in zip(before, arrays, strict=True)))
            )

    # sizes

    def sizes(self, value: Val, what: str = "a shape") -> list[Any]:
        """A vector of sizes as numbers, and Vals of those that vary."""
        if value.items is not None:
            return value.items
        if value.const is not None:
            return [int(item) for item in np.reshape(value.const, -1)]
        raise self.refuse(f"{what} that depends on values has no correspondence")


def _vals(value: Any) -> list[Val]:
    found: list[Val] = []
    changed(value, lambda v: found.append(v) if isinstance(v, Val) else None)
    return found


def _computed(compute: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    with torch.no_grad():
        return compute(*args, **kwargs)


def _at(value: Any, which: int) -> Any:
    """The arguments as they are at the first or the second size."""

    def at(one: Any) -> Any:
        if isinstance(one, str) and one.startswith("torch."):
            return getattr(torch, one.removeprefix("torch."))
        if not isinstance(one, Val):
            return one
        if one.items is not None and one.scalar:
            return at(one.items[0])
        if one.ref is None and one.const is not None:
            return one.const.item() if one.const.ndim == 0 else torch.from_numpy(np.array(one.const))
        return one.pair[which]

    return changed(value, at)


def observed(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Any]:
    """Every tensor that the graph computes. Raises NoCorrespondence for an operator that has no meaning here."""
    seen: dict[str, Any] = {}
    try:
        NumpyGraph(proto, np.float32).run(feeds, lambda _, __, name, value: seen.setdefault(name, value))
    except NotEvaluated as error:
        if unknown := re.search(r"No registered implementation for operator '(\w+)'", str(error)):
            name = next((n.name or n.output[0] for n in proto.graph.node if n.op_type == unknown[1]), "")
            what = f"there is no correspondence of the operator {unknown[1]}"
            raise NoCorrespondence(what, where=f"node {name!r}") from error
        raise NoCorrespondence(f"the graph cannot be computed: {error}") from error
    return seen

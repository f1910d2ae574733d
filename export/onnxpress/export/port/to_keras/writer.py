"""One block as a class of Keras code: its layers in `__init__`, its steps in `call`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.code import identifier, literal, tuple_of
from onnxpress.export.port.layout import Relaid, Unordered, Value, identity
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block, Ref, Shown, Step, changed, refs
from onnxpress.export.port.variables import Variables


@dataclass(frozen=True)
class Carried:
    """A weight of the written model and what it is made of."""

    path: tuple[str | int, ...]
    """from the model: attributes, and numbers of layers in a list or a Sequential"""
    sources: tuple[str, ...]
    """the source's parameters by name"""
    carry: Callable[..., Array]
    """their arrays → the weight; for gradients too"""
    several: str = ""
    """why a gradient is that of the first source alone"""


@dataclass
class Made:
    """A layer of the written code: constructor calls one after the other, and the weights that are in them."""

    calls: list[str]
    """constructor expressions; several run one after the other"""
    source: str
    """the source's layer, from the model on"""
    carried: list[tuple[int, Carried]] = field(default_factory=list)
    """(which call, the weight from that layer on)"""

    def weight(self, path: str, parameter: str, carry: Callable[[Array], Array] = lambda a: a, call: int = 0) -> None:
        """The weight at `path` below the layer of `call` is made of `parameter` of the source's layer."""
        self.carried.append((call, Carried(tuple(path.split(".")), (f"{self.source}.{parameter}",), carry)))


@dataclass
class Written:
    """What a block came to."""

    name: str
    init: list[str]
    call: list[str]
    arguments: list[str]
    outputs: Any
    carried: list[Carried]
    items: list[str] | None = None
    """the layers of one that is a plain sequence"""
    counts: dict[str, int] = field(default_factory=dict)
    """how many each list of layers has"""


class Writer(Variables):
    """Writes one block. `shared` is the model's: classes, settled flattenings, transposes, what is named."""

    def __init__(self, block: Block, given: list[Value], path: str, shared: Any) -> None:
        super().__init__(block)
        self.path, self.shared = path, shared
        self.init: list[Any] = []
        """lines, and the paths of layers whose lines are made when all are known"""
        self.items: dict[str, Any] = {}
        self.carried: list[Carried] = []
        self.given = iter(given)
        self.arguments: list[str] = []
        self.attributes: dict[str, Any] = {}
        self.outputs: Any = None
        self.read_early: dict[str, str] = {}
        """the path of each layer whose weight is read before it is called → the shape that it is built with"""
        self._lists = _lists(block)
        self._own_names: dict[str, str] = {}

    def attribute(self, path: str) -> tuple[str | int, ...]:
        """The attribute of a layer, and its place where it is a list."""
        root, _, rest = path.rpartition(".")
        if root in self._lists:
            return (self.own_name(f"{root}."), int(rest))
        return (self.own_name(path),)

    def own_name(self, source: str) -> str:
        """What the attribute of this layer, list or parameter is called: `_fc` is `fc`, beside an `fc` it is `fc_`."""
        if source not in self._own_names:
            name = free(identifier(source))
            while name in self._own_names.values():
                name += "_"
            self._own_names[source] = name
        return self._own_names[source]

    def place(self, path: str, made: Any) -> None:
        """Remember the layer of this path for `__init__`."""
        self.items[path] = made
        self.init.append((path,))

    # what functions and layers use

    def refuse(self, what: str, hint: str | None = None) -> NoCorrespondence:
        """The refusal of the step that is being written, to be raised."""
        return NoCorrespondence(what, where=self.step.where or self.path or None, hint=hint)

    def in_layout(self, value: Value, perm: tuple[int, ...], why: str) -> Value:
        """The value with its axes so; a transpose in the code where they are not."""
        if value.perm == perm or value.rank < 2:
            return value
        if value.fill is not None:
            raise Relaid(value.fill, perm)
        self.settle(value)
        wide = value.wide
        if wide == [axis for axis in perm if axis in wide] and None not in value.sizes[1:]:
            shape = tuple(value.sizes[axis] for axis in perm)
            if None not in shape[1:]:
                self.shared.transposes += 1
                code = tuple_of("-1" if size is None else str(size) for size in shape)
                return Value(f"ops.reshape({value.whole}, {code})", value.shown, perm, reshaped=value.whole)
        moves = tuple(value.perm.index(axis) for axis in perm)
        self.shared.transposes += 1
        self.lines.append(f"# {why}")
        name = self.beside(value.code if value.code.isidentifier() else identifier(value.parameter or "moved"))
        self.lines.append(f"{name} = ops.transpose({value.code}, {moves})")
        return Value(name, value.shown, perm)

    def plain(self, value: Value, why: str = "in the source's own order of axes") -> Value:
        """The value with its axes as the source counts them."""
        if value.parameter is not None and value.perm != identity(value.rank):
            raise self.refuse("a parameter in another layout")
        return self.in_layout(self.settle(value), identity(value.rank), why)

    def settle(self, value: Value) -> Value:
        """The value, its last axis in the source's order. Raises Unordered where it is not: it is written anew then."""
        if value.order is not None:
            raise Unordered(value.made_by)
        return value

    def like(self, value: Value, code: str, *, bare: bool = True) -> Value:
        """The step's result with the layout of `value`."""
        self.made(value)  # a parameter that is clamped, say, before anything else reads it
        return Value(code, self.step.shown, value.perm, value.order, value.made_by, bare=bare)

    def result(self, code: str, perm: tuple[int, ...] | None = None, *, bare: bool = True) -> Value:
        """The step's result in a layout; by default the source's own."""
        return Value(code, self.step.shown, identity(self.step.shown.rank) if perm is None else perm, bare=bare)

    def operand(self, value: Any) -> str:
        """The code of a value within a product or before a dot."""
        if not isinstance(value, Value):
            return literal(value)
        return value.code if value.bare else f"({value.code})"

    def together(self, values: list[Any]) -> tuple[list[Any], Value]:
        """Operands of an elementwise function in one layout, broadcast as the source does; and that layout."""
        tensors = [v for v in values if isinstance(v, Value) and isinstance(v.shown, Shown)]
        if not tensors:
            return values, Value("", self.step.shown, ())
        rank = max(v.rank for v in tensors)
        lead = max(
            (v for v in tensors if v.rank == rank), key=lambda v: (v.parameter is None, v.perm != identity(rank))
        )
        if any(v.order is not None for v in tensors):
            first = next(v for v in tensors if v.order is not None)
            for v in tensors:
                same = v.order is not None and first.order is not None and np.array_equal(v.order, first.order)
                if not same and (v.rank and v.shown.first[-1] != 1 and v.order is None):
                    raise Unordered(first.made_by)
                if v.order is not None and not same:
                    raise Unordered(v.made_by)
            lead = first
        found = [self._aligned(v, lead) if isinstance(v, Value) and isinstance(v.shown, Shown) else v for v in values]
        return [self.made(v) if isinstance(v, Value) else v for v in found], lead

    def _aligned(self, value: Value, lead: Value) -> Value:
        if value.perm == lead.perm or value.rank == 0 or (lead.perm == identity(lead.rank) and value.rank < lead.rank):
            return value if value.rank == lead.rank or value.perm == identity(value.rank) else self.plain(value)
        if value.rank == lead.rank:
            if value.parameter is not None:
                return self.parameter(value.parameter, value.shown, lead.perm, lead.rank)
            return self.in_layout(value, lead.perm, "both in one order of axes")
        missing = lead.rank - value.rank
        moved = tuple(axis - missing for axis in lead.perm if axis >= missing)
        leading = tuple(lead.perm[: lead.rank - value.rank])
        if all(axis < missing for axis in leading):
            if value.parameter is not None:
                return self.parameter(value.parameter, value.shown, moved, value.rank)
            return self.in_layout(value, moved, "both in one order of axes")
        if value.parameter is not None:
            return self.parameter(value.parameter, value.shown, lead.perm, lead.rank)
        value = self.plain(value)
        wider = Shown((1,) * missing + value.shown.first, (1,) * missing + value.shown.second, value.shown.dtype)
        index = ", ".join(["None"] * missing + [":"] * value.rank)
        wide = Value(f"{self.operand(value)}[{index}]", wider, identity(lead.rank))
        return self.in_layout(wide, lead.perm, "broadcast over the same axes")

    def parameter(self, name: str, shown: Shown, perm: tuple[int, ...], rank: int) -> Value:
        """`self.name`, stored with its axes so, made by add_weight on its first use."""
        first = (1,) * (rank - shown.rank) + shown.first
        shape = tuple(first[axis] for axis in perm)
        attribute = self.own_name(name)
        known = self.attributes.get(attribute)
        if known is not None and known != (shape, perm):
            if sum(size != 1 for size in shape) > 1:
                raise self.refuse(f"the parameter {name!r} is used in two orders of axes")
            return Value(f"ops.reshape(self.{attribute}, {literal(shape)})", Shown(first, first, shown.dtype), perm)
        if known is None:
            self.attributes[attribute] = (shape, perm)
            self.init += self.shared.weight_lines(self, name, attribute, shape)
            self.carried.append(
                Carried((attribute,), (self.full(name),), lambda a: np.transpose(np.reshape(a, first), perm))
            )
        wider = Shown(first, first, shown.dtype, shown.hides)
        return Value(f"self.{attribute}", wider, perm, parameter=name, stored=True)

    def full(self, name: str) -> str:
        """A parameter's name from the model on."""
        return f"{self.path}.{name}" if self.path else name

    # the walk

    def _bound(self, value: Value, step: Step) -> Value:
        """As always; but of the items of a list that are called one after the other each is a line, for a loop."""
        if not self._is_chained(step) or value.parts is not None or not self.left.get(step.number, 0):
            return super()._bound(value, step)
        name = self._variable(step)
        self.lines.append(f"{name} = {value.code}")
        value.code, value.bare = name, True
        return value

    def _is_chained(self, step: Step) -> bool:
        """Whether it calls an item of a list with what another item has answered, or for another item."""
        if step.kind not in ("layer", "block") or step.name.rpartition(".")[0] not in self._lists:
            return False
        root = step.name.rpartition(".")[0]
        others = [s for s in self.block.steps if s is not step and s.name.rpartition(".")[0] == root]
        ref, mine = Ref(step.number), list(refs(step.args))
        return any(ref in refs(other.args) or Ref(other.number) in mine for other in others)

    def write(self) -> Written:
        """All steps."""
        for step in self.block.steps:
            self.step = step
            if step.kind == "input":
                value = next(self.given)
                plain = type(self.block.owner).__name__ == "Sequential"  # whose own name of it is no name of the user's
                name = self.fresh("x" if plain else identifier(step.name))
                self.arguments.append(name)
                mine = Value(name, step.shown, value.perm, value.order, value.made_by, number=value.number)
                mine.fill = value.fill
                self.values[step.number] = mine
                continue
            if step.kind == "output":
                self.outputs = self.filled(step.args[0])
                break
            if step.kind == "parameter":
                if any(
                    not isinstance(c, Block) and step.name.startswith(p + ".") for p, c in self.block.children.items()
                ):
                    self.values[step.number] = self.shared.weight_of_layer(self, step)
                else:
                    self.values[step.number] = self._own(step)
                continue
            args, kwargs = self.filled(step.args), self.filled(step.kwargs)
            self.reads(step)
            try:
                value = _called(self, args, kwargs)
            except (NoCorrespondence, Unordered):
                raise
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                raise self.refuse(f"{step.name}, as it is called here, cannot be written: {said}") from error
            self.values[step.number] = self.bind(value, step)
        return Written("", self.init, self.lines, self.arguments, self.outputs, self.carried)

    def _own(self, step: Step) -> Value:
        shown: Shown = step.shown
        if not shown.first and shown.dtype.startswith("float") and not self.learns(step.name):
            number = self.array(step.name).item()
            self.shared.constants.add(self.full(step.name))
            return Value(literal(number), shown, ())
        return Value(f"self.{identifier(step.name)}", shown, identity(shown.rank), parameter=step.name)

    def array(self, name: str) -> Array:
        """The source's own values."""
        return np.asarray(self.shared.state[self.shared.tied.get(self.full(name), self.full(name))])

    def learns(self, name: str) -> bool:
        """Whether it is a parameter that training changes."""
        return self.shared.tied.get(self.full(name), self.full(name)) in self.shared.learning

    def filled(self, value: Any) -> Any:
        """The step's arguments with their values."""
        return changed(value, self._read)

    def _read(self, value: Any) -> Any:
        if not isinstance(value, Ref):
            return value
        found = self.values[value.number]
        if found.parameter is not None and not found.stored:
            return Value(found.code, found.shown, found.perm, parameter=found.parameter)
        return found

    def made(self, value: Value) -> Value:
        """A parameter in its own order of axes, if it is one."""
        if value.parameter is not None and not value.stored:
            return self.parameter(value.parameter, value.shown, identity(value.rank), value.rank)
        return value


_LAYERS_ALONE = re.compile(r"(self(\.\w+|\[\d+\])+\()*\w+\)*")
"""layers called on what the one before gives"""


def _called(w: Writer, args: Any, kwargs: Any) -> Value:
    """What the writer's step comes to."""
    if w.step.kind == "function":
        found: Value = w.shared.function(w, w.step.name, args, kwargs)
    elif w.step.kind == "block":
        found = w.shared.child(w, w.step, args)
    else:
        found = w.shared.layer(w, w.step, args, kwargs)
    return found


@functools.cache
def _taken() -> frozenset[str]:
    import keras

    return frozenset(dir(keras.Model))


def free(name: str) -> str:
    """The name, with an underscore behind it where Keras's own models have an attribute of that name: `layers_`."""
    return f"{name}_" if name in _taken() else name


def _lists(block: Block) -> set[str]:
    """The lists of layers, all of whose layers are called: `blocks` of blocks.0, blocks.1."""
    found: dict[str, set[str]] = {}
    for path in block.children:
        root, _, rest = path.rpartition(".")
        if root:
            found.setdefault(root, set()).add(rest)
    return {root for root, names in found.items() if names == {str(n) for n in range(len(names))}}


def is_sequence(writer: Writer) -> bool:
    """Whether what it has written is nothing but layers one after the other, called once each."""
    tensors = [step for step in writer.block.steps if step.kind in ("layer", "block")]
    return (
        type(writer.block.owner).__name__ == "Sequential"
        and not writer.lines
        and all(isinstance(line, tuple) for line in writer.init)
        and isinstance(writer.outputs, Value)
        and writer.outputs.parts is None
        and _LAYERS_ALONE.fullmatch(writer.outputs.code) is not None
        and len({step.name for step in tensors}) == len(tensors)
    )

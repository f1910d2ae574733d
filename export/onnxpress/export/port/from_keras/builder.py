"""One block in torch's vocabulary: its layers and parameters, and values brought into the layout that is needed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from onnxpress.core.arrays import Array
from onnxpress.export.port.code import identifier
from onnxpress.export.port.from_keras.naming import alone
from onnxpress.export.port.from_keras.shared import Carried
from onnxpress.export.port.from_keras.stepping import Stepping
from onnxpress.export.port.from_keras.values import Value
from onnxpress.export.port.layout import Unordered, identity
from onnxpress.export.port.steps import Ref, Shown

Weights = dict[str, tuple[Sequence[Any], Callable[..., Array]]]
"""a parameter of torch's → the Keras variables that it is made of, and how"""
_TAKEN = frozenset(dir(nn.Module))


class Builder(Stepping):
    """Makes one block of a model."""

    def free(self, name: str) -> str:
        """An attribute that nothing has yet."""
        wanted = base = identifier(name)
        base = wanted = f"{base}_" if base in _TAKEN else base
        number = 2
        while wanted in self.names:
            wanted, number = f"{base}_{number}", number + 1
        self.names.add(wanted)
        return wanted

    def layer(
        self, keras_layer: Any, module: nn.Module, *args: Any, part: str = "", weights: Weights | None = None
    ) -> int:
        """Call a layer of torch, made once for the Keras layer. Returns the step's number.

        `part` tells apart those that one Keras layer is written as. `weights`: the parameter → Keras variables and how
        it is made of them. A parameter that has none stays as the module was made.
        """
        return self.step("layer", self.placed(keras_layer, module, part, weights or {}), args)

    def placed(self, keras_layer: Any, module: nn.Module, part: str, weights: Weights) -> str:
        """The path of the torch layer, which is made at the first call."""
        key = (id(keras_layer), part)
        if key in self.paths:
            return self.paths[key]
        self.own(keras_layer)
        path = self.free(self.name_of(keras_layer) + (f"_{part}" if part else ""))
        self.paths[key] = path
        module.eval()
        self.children[path] = module
        self.owner.add_module(path, module)
        for name, (variables, carry) in weights.items():
            self.fill(module, name, f"{self.path}{path}.{name}", variables, carry)
        return path

    def own(self, keras_layer: Any) -> None:
        """A Keras layer belongs to one block. Raises NoCorrespondence where two call it."""
        if self.shared.owners.setdefault(id(keras_layer), self.path) != self.path:
            raise self.refuse(f"the layer {keras_layer.name} is called by two models or layers", "give each its own")

    def name_of(self, keras_layer: Any) -> str:
        """What its attribute is called."""
        return alone(keras_layer)

    def fill(
        self, module: nn.Module, name: str, full: str, variables: Sequence[Any], carry: Callable[..., Array]
    ) -> None:
        """Put the weight in; it is frozen where none of its variables learns."""
        places = [self.shared.index(variable) for variable in variables]
        if any(place is None for place in places):
            raise self.refuse("a variable that is none of the model's weights has no correspondence")
        array = carry(*(np.asarray(variable) for variable in variables))
        held = operator.attrgetter(name)(module)
        if tuple(held.shape) != array.shape:
            raise self.refuse(f"{full} is {tuple(held.shape)} in torch and {array.shape} here")
        with torch.no_grad():
            held.copy_(torch.from_numpy(np.array(array)))
        if isinstance(held, nn.Parameter):
            held.requires_grad_(any(variable.trainable for variable in variables))
        self.shared.carried.append(Carried(full, tuple(p for p in places if p is not None), carry))

    def parameter(self, variable: Any, perm: tuple[int, ...], rank: int) -> Value:
        """A Keras variable as a parameter or buffer, stored with its axes so; one of a known layer is that layer's."""
        array = np.asarray(variable)
        first = (1,) * (rank - array.ndim) + array.shape
        index = self.shared.index(variable)
        if index is None:
            return self.constant(array.reshape(first).transpose(perm), perm)
        key = (id(variable), perm, rank)
        if key not in self.paths:
            if any(known[0] == id(variable) for known in self.paths):
                raise self.refuse(f"the variable {variable.path} is used in two orders of axes")
            if any(index in one.sources for one in self.shared.carried):
                return self.in_layout(self._of_layer(variable, index), perm, "a layer's weight, as it is needed here")
            name = self.free(self.name_of_variable(variable))
            stored = torch.zeros(tuple(first[axis] for axis in perm), dtype=getattr(torch, str(array.dtype)))
            if stored.is_floating_point() and variable.trainable:
                self.owner.register_parameter(name, nn.Parameter(stored))
                self.shared.differences.append(
                    f"{self.path}{name}: Keras does not say how it is first drawn: here with the spread that it has now"
                )
            else:
                self.owner.register_buffer(name, stored)
            self.paths[key] = name
            self.fill(self.owner, name, self.path + name, [variable], lambda a: a.reshape(first).transpose(perm))
        return self.value(self.step("parameter", self.paths[key]), perm)

    def _of_layer(self, variable: Any, index: int) -> Value:
        """The weight of a layer of this block that is read outside of it too: a table that is shared, say."""
        array = np.asarray(variable)
        for one in self.shared.carried:
            name = one.name.removeprefix(self.path)
            if one.sources != (index,) or name.rpartition(".")[0] not in self.children:
                continue
            for perm in (identity(array.ndim), tuple(reversed(range(array.ndim)))):
                if np.array_equal(one.carry(array), array.transpose(perm)):
                    return self.value(self.step("parameter", name), perm)
        raise self.refuse(f"the variable {variable.path} is another layer's weight and read here too")

    def variable(self, held: Any, name: str = "constant") -> Value:
        """A Keras variable, or an array under this name, that is stored in the layout in which it is first used."""
        shape = tuple(held.shape)
        found = Value(Ref(-1), Shown(shape, shape, str(held.dtype)), identity(len(shape)), variable=held)
        found.made_by = name
        return found

    def stand_ins(self, value: Value) -> tuple[int, ...]:
        """The value's shape, with numbers that no layer has where a size varies."""
        pairs = zip(value.shown.first, value.shown.second, strict=True)
        return tuple(a if a == b else self.shared.stand_in((a, b)) for a, b in pairs)

    def varies(self, size: Any) -> bool:
        """Whether a number in the author's code came from a size that varies."""
        return isinstance(size, int) and size > 0 and any(size % prime == 0 for prime in self.shared.sizes.values())

    def told(self, size: int) -> Any:
        """The step that reads a size that varies, of which the author's code has the stand-in or some times that."""
        for pair, prime in self.shared.sizes.items():
            if size % prime:
                continue
            for number, (first, second) in list(self.pairs.items()):
                if not hasattr(first, "shape") or self.steps[number].kind not in ("input", "layer", "block"):
                    continue
                sizes = list(zip(first.shape, second.shape, strict=True))
                if pair in sizes:
                    read = Ref(self.step("function", "size", (Ref(number), sizes.index(pair))))
                    times = size // prime
                    return read if times == 1 else Ref(self.step("function", "mul", (read, times)))
        raise self.refuse("a size that varies, of no tensor that is at hand, has no correspondence")

    def name_of_variable(self, variable: Any) -> str:
        """What its attribute is called."""
        return str(variable.name)

    def constant(self, array: Array, perm: tuple[int, ...] | None = None) -> Value:
        """An array that is no weight, as a buffer."""
        name = self.free("constant")
        self.owner.register_buffer(name, torch.from_numpy(np.array(array)))
        self.shared.constants.add(self.path + name)
        return self.value(self.step("parameter", name), perm)

    def made(self, value: Value) -> Value:
        """A variable as a parameter in its own order of axes, if it is one."""
        return self.parameter(value.variable, value.perm, value.rank) if value.variable is not None else value

    def floats(self, value: Value) -> Value:
        """The value as float32, where it is integers."""
        value = self.made(value)
        return value if value.dtype.startswith("float") else self.like(value, "to", value, "torch.float32")

    def in_layout(self, value: Value, perm: tuple[int, ...], why: str) -> Value:
        """The value with its axes so; a transpose in the code where they are not."""
        if value.variable is not None:
            return self.parameter(value.variable, perm, len(perm))
        if value.perm == perm or value.rank < 2:
            return value
        self.settle(value)
        wide = value.wide
        if wide == [axis for axis in perm if axis in wide] and None not in value.sizes[1:] and perm[0] == 0:
            shape = tuple(-1 if n == 0 else value.sizes[axis] for n, axis in enumerate(perm))
            self.shared.reshapes += 1
            found = self.function("reshape", value, shape, perm=perm)
        else:
            moves = tuple(value.perm.index(axis) for axis in perm)
            self.shared.transposes += 1
            found = self.function("permute", value, moves, perm=perm, comment=why)
        found.mask = value.mask
        return found

    def plain(self, value: Value, why: str = "in the order of axes that this needs") -> Value:
        """The value with its axes as Keras counts them."""
        return self.in_layout(self.settle(value), identity(value.rank), why)

    def together(self, values: Sequence[Any]) -> tuple[list[Any], Value | None]:
        """Operands of an elementwise function in one layout, broadcast as Keras does; and one that has the layout."""
        tensors = [v for v in values if isinstance(v, Value)]
        if not tensors:
            return list(values), None
        rank = max(v.rank for v in tensors)
        lead = max(
            (v for v in tensors if v.rank == rank),
            key=lambda v: (v.variable is None, v.perm != identity(rank), len(v.wide)),
        )
        ordered = [v for v in tensors if v.order is not None]
        if ordered:
            lead = ordered[0]
            for v in tensors:
                is_same = v.order is not None and lead.order is not None and np.array_equal(v.order, lead.order)
                if not is_same and (v.order is not None or (v.rank and v.shown.first[-1] != 1)):
                    raise Unordered(v.made_by if v.order is not None else lead.made_by)
        return [self._aligned(v, lead) if isinstance(v, Value) else v for v in values], lead

    def _aligned(self, value: Value, lead: Value) -> Value:
        why = "both in one order of axes"
        if value.rank == lead.rank:
            return self.in_layout(value, lead.perm, why)
        missing = lead.rank - value.rank
        if value.variable is not None:
            if lead.perm == identity(lead.rank):
                return self.parameter(value.variable, identity(value.rank), value.rank)
            return self.parameter(value.variable, lead.perm, lead.rank)
        if value.rank == 0:
            return value
        if lead.perm == identity(lead.rank):
            return self.plain(value, why)
        moved = tuple(axis - missing for axis in lead.perm if axis >= missing)
        if all(axis < missing for axis in lead.perm[:missing]):
            return self.in_layout(value, moved, why)
        value = self.plain(value, why)
        wide = self.function("getitem", value, (*(None,) * missing, Ellipsis))
        return self.in_layout(wide, lead.perm, "broadcast over the same axes")

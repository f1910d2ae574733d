"""An .onnx graph as a Block, and as the torch module that holds its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import nn

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.port.code import identifier
from onnxpress.export.port.from_onnx import axes, elementwise, layers, recurrent, sizes
from onnxpress.export.port.from_onnx.nesting import Nesting
from onnxpress.export.port.from_onnx.nodes import read
from onnxpress.export.port.from_onnx.reader import Origin, Reading
from onnxpress.export.port.from_onnx.sequences import with_sequences
from onnxpress.export.port.steps import Block, without_dead

__all__ = ["Read", "axes", "block_of", "elementwise", "layers", "recurrent", "sizes"]


@dataclass
class Read:
    """What the graph came to."""

    block: Block
    origins: dict[str, Origin]
    """each parameter → the initializers that it is made of"""
    ranks: list[int]
    """how many axes each output has"""


def block_of(proto: onnx.ModelProto, specs: Sequence[TensorSpec], feeds: Sequence[Mapping[str, Array]]) -> Read:
    """The graph's steps, nested as its names say. `feeds` are at two sizes of every dimension that varies.

    Raises NoCorrespondence by the name of the node that cannot be carried.
    """
    reading, outputs = read(proto, specs, feeds)
    numbers = [value.ref.number for value in outputs if value.ref is not None]
    steps, chains = with_sequences(reading, without_dead(reading.steps, numbers))
    called = {step.name for step in steps if step.kind == "layer"}
    tensors = {step.name for step in steps if step.kind == "parameter"}
    _tie(reading, called)
    owner = _owner(
        {path: layer for path, layer in reading.layers.items() if path in called},
        {path: tensor for path, tensor in reading.tensors.items() if path in tensors},
        "Network",
        chains,
    )
    block = Nesting(reading, owner).block(steps, numbers)
    kept = {path: one for path, one in reading.origins.items() if path.rpartition(".")[0] in called or path in tensors}
    return Read(block, kept, [value.rank for value in outputs])


def _tie(reading: Reading, called: set[str]) -> None:
    """Parameters made of one initializer in one way are one."""
    first: dict[Any, nn.Parameter] = {}
    for path in [path for path in reading.layers if path in called]:
        layer = reading.layers[path]
        for name, value in list(layer.named_parameters()):
            origin = reading.origins.get(f"{path}.{name}")
            if origin is None:
                continue
            key = (origin.initializers, tuple(value.shape), value.dtype)
            same = first.setdefault(key, value)
            is_constant = bool((value == value.flatten()[0]).all())  # exporters keep one of equal ones and zeros
            if same is not value and torch.equal(same, value) and not is_constant:
                setattr(layer, name, same)


def _owner(layers: dict[str, nn.Module], tensors: dict[str, torch.Tensor], name: str, chains: set[str]) -> nn.Module:
    """A module that holds all under their paths."""
    tree: dict[str, Any] = {}
    for path, value in [*tensors.items(), *layers.items()]:
        node = tree
        *parents, last = path.split(".")
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return _held(tree, name, chains)


def _held(tree: dict[str, Any], name: str, chains: set[str], path: str = "") -> nn.Module:
    children: dict[str, Any] = {}
    for part, value in tree.items():
        where = f"{path}.{part}" if path else part
        children[part] = _held(value, _class_name(part, name), chains, where) if isinstance(value, dict) else value
    modules = {part: value for part, value in children.items() if isinstance(value, nn.Module)}
    if modules and len(modules) == len(children) and all(part.isdigit() for part in modules):
        ordered = sorted(modules, key=int)
        if ordered == [str(n) for n in range(len(ordered))]:
            items = [modules[part] for part in ordered]
            return nn.Sequential(*items) if path in chains else nn.ModuleList(items)
        return nn.ModuleDict({part: modules[part] for part in ordered})
    holder: nn.Module = type(name, (nn.Module,), {})()
    for part, value in children.items():
        if isinstance(value, nn.Module):
            holder.add_module(part, value)
        elif isinstance(value, nn.Parameter):
            holder.register_parameter(part, value)
        else:
            holder.register_buffer(part, value)
    return holder


def _class_name(part: str, holder: str) -> str:
    """`Layer` of `layer`, of `layers` and of what `layers` holds."""
    if part.isdigit():
        return holder.removesuffix("s") or holder
    words = [word for word in identifier(part).split("_") if word]
    return "".join(word[0].upper() + word[1:] for word in words) or "Block"

"""A whole model as one module of torch code: its classes, its builder, and the weights that belong into it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from onnxpress.core.tensors import TensorSpec
from onnxpress.export.port.code import WIDTH, folded, literal, tuple_of, wrapped
from onnxpress.export.port.steps import Block
from onnxpress.export.port.to_torch.block import BlockWriter
from onnxpress.export.port.to_torch.making import chain, init_lines, of_block
from onnxpress.export.port.to_torch.shared import Shared, body
from onnxpress.export.port.to_torch.writer import Term


@dataclass
class Code:
    """The written module."""

    text: str
    name: str
    """of the model's class; `nn.Sequential` of one that needs none"""
    state: dict[str, torch.Tensor]
    """the weights, by their names in the written model; one that has two names stands under both"""


def written(
    block: Block,
    specs: list[TensorSpec],
    *,
    title: str,
    weights: str,
    helpers: tuple[str, ...] = (),
    last: tuple[str, ...] = (),
    learning: frozenset[str] | None = None,
) -> Code:
    """The model's code. `block.owner` is a torch module that holds all weights under the paths of the blocks.

    `weights` is the name of the file that the code says they are in, `helpers` are functions to stand before the
    classes, `last` lines for the end of the model's `__init__`. `learning` are the parameters that training changes,
    by default those that require gradients. Raises NoCorrespondence for what cannot be written.
    """
    owner = block.owner
    every = dict(owner.named_parameters(remove_duplicate=False))
    if learning is None:
        learning = frozenset(name for name, value in every.items() if value.requires_grad)
    first = {id(value): name for name, value in owner.named_parameters()}
    tied = {name: first[id(value)] for name, value in every.items() if first[id(value)] != name}
    learning |= {name for name, other in tied.items() if other in learning}
    shared = Shared(learning, frozenset(every), tied, _lines)
    if chain(block) is not None and not last and not tied and every.keys() <= learning:
        name = "nn.Sequential"
        made = wrapped(f"return {of_block(block, '', shared)}", 4)
    else:
        shapes = [tuple_of(map(str, spec.shape)) for spec in specs]
        name = type(owner).__name__.lstrip("_")
        name = "Network" if name in ("Sequential", "Module", "") else name
        lines = _lines(block, "", shared, shapes, last)
        while name in shared.classes:
            name += "Model"
        shared.classes[name] = [line.replace("\0", name) for line in lines]
        made = [f"    return {name}()"]
    builder = ["def build():", _BUILD, *made]
    parts = [*helpers, *("\n".join(lines) for lines in shared.classes.values()), "\n".join(builder)]
    text = "\n\n\n".join(parts) + "\n"
    return Code(f"{_head(title, weights, text)}\n\n\n{text}", name, shared.state)


_BUILD = '    """The model before training; load_model gives it the weights of the file."""'


def _head(title: str, weights: str, text: str) -> str:
    lines = [f'"""{title}', "", "After `model = build()` this makes it the trained model:"]
    lines += [f'`safetensors.torch.load_model(model, "{weights}")`.', '"""', ""]
    if "OrderedDict(" in text:
        lines += ["from collections import OrderedDict", ""]
    if re.search(r"\bmath\.", text):
        lines += ["import math", ""]
    if re.search(r"(?<![\w.])torch\.", text.replace("safetensors.torch.", "")):
        lines.append("import torch")
    lines.append("from torch import nn")
    if re.search(r"\bF\.", text):
        lines.append("from torch.nn import functional as F")
    return "\n".join(lines)


def _lines(
    block: Block, path: str, shared: Shared, shapes: Sequence[str] = (), last: tuple[str, ...] = ()
) -> list[str]:
    """The lines of a block's class, its name as \\0; with the `shapes` of its arguments where they are told."""
    writer = BlockWriter(block, path)
    writer.write()
    init = [*init_lines(writer.tree, path, shared), *last]
    forward = folded(writer.lines, writer.tree.counts())
    returned = _returned(writer.outputs)
    if forward and forward[-1].startswith(f"{returned} = "):
        returned = forward.pop().removeprefix(f"{returned} = ")
    elif isinstance(writer.outputs, tuple) and len(writer.outputs) > 1:
        bare = returned[1:-1]  # brackets hold together what takes several lines
        returned = bare if len(f"        return {bare}") <= WIDTH else returned
    axes = "; ".join(f"{name} {shape}" for name, shape in zip(writer.arguments, shapes, strict=False))
    lines = body(init, f"{axes} → the answers." if shapes else "")
    lines += [
        *([""] if len(lines) > 1 else []),
        *wrapped(f"def forward({', '.join(['self', *writer.arguments])}):", 4),
    ]
    for line in [*forward, f"return {returned}"]:
        inner = len(line) - len(line.lstrip())
        lines += wrapped(line[inner:], 8 + inner)
    return lines


def _returned(outputs: Any) -> str:
    if isinstance(outputs, Term):
        return outputs.code
    if isinstance(outputs, dict):
        return "{" + ", ".join(f"{literal(key)}: {_returned(part)}" for key, part in outputs.items()) + "}"
    if isinstance(outputs, tuple):
        return tuple_of(map(_returned, outputs))
    return literal(outputs)

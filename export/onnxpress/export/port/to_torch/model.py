"""A whole model as one module of torch code: its classes, its builder, and the weights that belong into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from onnxpress.core.tensors import TensorSpec
from onnxpress.export.port.bounds import Bound, constrain_function
from onnxpress.export.port.buffers import SINUSOIDS_IN_TORCH
from onnxpress.export.port.code import formatted, literal, tuple_of
from onnxpress.export.port.loops import folded, listed, said_once, without_aliases
from onnxpress.export.port.penalty import Penalty, penalty_function
from onnxpress.export.port.steps import Block, Shown, size_name
from onnxpress.export.port.to_torch.block import BlockWriter
from onnxpress.export.port.to_torch.making import chain, init_lines, of_block
from onnxpress.export.port.to_torch.shared import Shared, body
from onnxpress.export.port.to_torch.writer import Term

Begin = Callable[[Mapping[str, str]], tuple[list[str], list[str]]]


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
    begin: Begin | None = None,
    settled: frozenset[str] = frozenset(),
    learning: frozenset[str] | None = None,
    penalties: Sequence[Penalty] = (),
    bounds: Sequence[tuple[str, Bound]] = (),
) -> Code:
    """The model's code. `block.owner` is a torch module that holds all weights under the paths of the blocks.

    `weights` is the name of the file that the code says they are in. `begin` gives functions to stand before the
    classes, and lines for the end of the model's `__init__`, from the class of each block by its path; `settled` are
    the parameters that these freeze. `learning` are the parameters that training changes, by default those that require
    gradients; `penalties` add to its loss, and `bounds` keep parameters within after each step. Raises NoCorrespondence
    for what cannot be written.
    """
    owner = block.owner
    every = dict(owner.named_parameters(remove_duplicate=False))
    if learning is None:
        learning = frozenset(name for name, value in every.items() if value.requires_grad)
    first = {id(value): name for name, value in owner.named_parameters()}
    tied = {name: first[id(value)] for name, value in every.items() if first[id(value)] != name}
    learning |= {name for name, other in tied.items() if other in learning}
    shared = Shared(learning, frozenset(every), tied, _lines, settled=settled)
    if chain(block) is not None and begin is None and not tied and every.keys() <= learning:
        name = "nn.Sequential"
        made = [f"    return {of_block(block, '', shared)}"]
        shared.merge([made])
    else:
        shapes = [tuple_of(map(str, spec.shape)) for spec in specs]
        name = type(owner).__name__.lstrip("_")
        name = "Network" if name in ("Sequential", "Module", "") else name
        shared.specs = specs
        lines = _lines(block, "", shared, shapes, begin)
        while name in shared.classes:
            name += "Model"
        shared.classes[name] = [line.replace("\0", name) for line in lines]
        made = [f"    return {name}()"]
    builder = ["def build():", _BUILD, *made]
    sinusoids = [SINUSOIDS_IN_TORCH] if any("sinusoids(" in line for c in shared.classes.values() for line in c) else []
    parts = [
        *shared.functions,
        *sinusoids,
        *("\n".join(lines) for lines in shared.classes.values()),
        "\n".join(builder),
        *([penalty_function(penalties)] if penalties else []),
        *([constrain_function(bounds)] if bounds else []),
    ]
    text = "\n\n\n".join(parts) + "\n"
    return Code(formatted(f"{_head(title, weights, text)}\n\n\n{text}"), name, shared.state)


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
    block: Block, path: str, shared: Shared, shapes: Sequence[str] = (), begin: Begin | None = None
) -> list[str]:
    """The lines of a block's class, its name as \\0; with the `shapes` of its arguments where they are told."""
    writer = BlockWriter(block, path)
    writer.write()
    init = init_lines(writer.tree, path, shared)
    if not path:
        shared.merge([init])
    if begin is not None:
        shared.functions, last = begin(shared.named)
        init += last
    counts = writer.tree.counts()
    returned = listed(_returned(writer.outputs), counts)
    forward = said_once(without_aliases(folded(writer.lines, counts), returned))
    if forward and forward[-1].startswith(f"{returned} = "):
        returned = forward.pop().removeprefix(f"{returned} = ")
    elif isinstance(writer.outputs, tuple) and len(writer.outputs) > 1:
        returned = returned[1:-1]
    axes = "; ".join(f"{name} {shape}" for name, shape in zip(writer.arguments, shapes, strict=False))
    given = [step.shown for step in block.steps if step.kind == "input"]
    lines = body(init, f"{axes} → {_answers(writer.outputs, shared.specs, given)}." if shapes else "")
    lines += [
        *([""] if len(lines) > 1 else []),
        f"    def forward({', '.join(['self', *writer.arguments])}):",
    ]
    return [*lines, *(" " * 8 + line for line in [*forward, f"return {returned}"])]


def _answers(outputs: Any, specs: Sequence[TensorSpec], given: Sequence[Shown]) -> str:
    """Their shapes; a size that varies is called as it is among the inputs'."""
    if isinstance(outputs, Term) and isinstance(outputs.shown, Shown):
        sizes = zip(outputs.shown.first, outputs.shown.second, strict=True)
        return tuple_of(str(a) if a == b else size_name((a, b), specs, given) for a, b in sizes)
    if isinstance(outputs, dict):
        return ", ".join(f"{key} {_answers(part, specs, given)}" for key, part in outputs.items())
    if isinstance(outputs, tuple):
        return ", ".join(_answers(part, specs, given) for part in outputs)
    return "the answers"


def _returned(outputs: Any) -> str:
    if isinstance(outputs, Term):
        return outputs.code
    if isinstance(outputs, dict):
        return "{" + ", ".join(f"{literal(key)}: {_returned(part)}" for key, part in outputs.items()) + "}"
    if isinstance(outputs, tuple):
        return tuple_of(map(_returned, outputs))
    return literal(outputs)

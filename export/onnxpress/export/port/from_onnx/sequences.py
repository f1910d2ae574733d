"""Numbered layers that follow each other as an nn.Sequential: activations among them are layers again.

What a number is missing of, as dropout that is gone from the file, becomes nn.Identity.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from torch import nn

from onnxpress.export.port.from_onnx.reader import Reading
from onnxpress.export.port.steps import Ref, Step, refs, uses

_ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "silu": nn.SiLU, "gelu": nn.GELU, "relu6": nn.ReLU6,
    "selu": nn.SELU, "mish": nn.Mish, "hardswish": nn.Hardswish, "hardsigmoid": nn.Hardsigmoid, "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU, "softplus": nn.Softplus, "softsign": nn.Softsign, "softmax": nn.Softmax,
    "log_softmax": nn.LogSoftmax, "flatten": nn.Flatten,
}  # fmt: skip


def with_sequences(reading: Reading, steps: list[Step]) -> tuple[list[Step], set[str]]:
    """The steps with these activations as layers, and the paths of whole sequences, the empty one of the model."""
    layers = [step.name for step in steps if step.kind == "layer"]
    holders = {_holder(name) for name in layers if _number(name) is not None}
    for step in steps:
        scope = reading.scopes.get(step.number, "")
        is_one = step.kind == "function" and step.name in _ACTIVATIONS and _holder(scope) in holders
        if is_one and _number(scope) is not None and scope not in reading.layers and len(list(refs(step.args))) == 1:
            reading.layers[scope] = _ACTIVATIONS[step.name](*step.args[1:], **step.kwargs).eval()
            step.kind, step.name, step.args, step.kwargs = "layer", scope, step.args[:1], {}
        pooled = (
            step.kind == "function" and step.name == "mean" and _holder(scope) in holders and _number(scope) is not None
        )
        if pooled and scope not in reading.layers and _is_global(step):
            reading.layers[scope] = getattr(nn, f"AdaptiveAvgPool{len(step.shown.first) - 2}d")(1).eval()
            step.kind, step.name, step.args, step.kwargs = "layer", scope, step.args[:1], {}
    chains: set[str] = set()
    for holder in sorted(holders):
        steps = _with_chain(reading, steps, holder, chains)
    if "" in chains and any(step.kind not in ("input", "layer") or "." in step.name for step in steps):
        chains.discard("")
    if "" not in chains:
        _name_numbers(reading, steps)
    return steps, chains


def _name_numbers(reading: Reading, steps: list[Step]) -> None:
    """A model that is no sequence calls its numbered layers `layer0`, `layer1`."""

    def named(path: str) -> str:
        return f"layer{path}" if path[:1].isdigit() else path

    for step in steps:
        if step.kind in ("layer", "parameter"):
            step.name = named(step.name)
    reading.layers = {named(path): layer for path, layer in reading.layers.items()}
    reading.tensors = {named(path): tensor for path, tensor in reading.tensors.items()}
    reading.origins = {named(path): origin for path, origin in reading.origins.items()}
    reading.scopes = {number: named(path) for number, path in reading.scopes.items()}


def _is_global(step: Step) -> bool:
    """Whether it is the mean over all axes behind the channels, which stay as axes of 1."""
    rank = len(step.shown.first)
    dims = step.kwargs.get("dim")
    dims = {d % rank for d in (dims if isinstance(dims, tuple) else (dims,))} if dims is not None else set()
    return rank > 2 and bool(step.kwargs.get("keepdim")) and dims == set(range(2, rank))


def _holder(path: str) -> str:
    return path.rpartition(".")[0]


def _number(path: str) -> int | None:
    last = path.rpartition(".")[2]
    return int(last) if last.isdigit() else None


def _with_chain(reading: Reading, steps: list[Step], holder: str, chains: set[str]) -> list[Step]:
    """With layers that do nothing where a number is missing, if each layer takes what the one before answers."""
    mine = [step for step in steps if step.kind == "layer" and _holder(step.name) == holder]
    within = [s for s in steps if s.kind == "layer" and (not holder or s.name.startswith(f"{holder}."))]
    numbers = [number for step in mine if (number := _number(step.name)) is not None]
    foreign = [
        s for s in steps if s.kind not in ("input", "layer") and _is_in(reading.scopes.get(s.number, ""), holder)
    ]
    if foreign or len(numbers) != len(within) or len(mine) < 2 or numbers != sorted(set(numbers)):
        return steps
    read = uses(steps)
    for before, after in itertools.pairwise(mine):
        if after.args != (Ref(before.number),) or read[before.number] != 1:
            return steps
    chains.add(holder)
    found, last = [], -1
    for step in steps:
        if step in mine:
            number = _number(step.name) or 0
            for missing in range(last + 1, number):
                path = f"{holder}.{missing}" if holder else str(missing)
                reading.layers[path] = nn.Identity().eval()
                idle = Step(reading.number(), "layer", path, step.args, {}, _shown(steps, step.args[0]))
                reading.scopes[idle.number] = path
                step.args = (Ref(idle.number),)
                found.append(idle)
            last = number
        found.append(step)
    return found


def _is_in(scope: str, holder: str) -> bool:
    """Whether a step stands in the block of this holder; in the model's own all that chains are asked for apart."""
    return bool(holder) and (scope == holder or scope.startswith(f"{holder}."))


def _shown(steps: list[Step], ref: Ref) -> object:
    return next(step.shown for step in steps if step.number == ref.number)

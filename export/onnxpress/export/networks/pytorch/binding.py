"""How forward takes its inputs: their names and specs, the author's examples, and the structure that they stand in."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.core.tensors import TensorSpec, size_of
from onnxpress.export.networks.batch_axis import Axes, spec_of, ways
from onnxpress.export.networks.pytorch.structure import Leaf, take_apart
from onnxpress.export.source import Source

EXAMPLE_BATCH = 3  # torch.export specialises sizes 0 and 1, and 2 is a common size of something else


@dataclass(frozen=True)
class Binding:
    """What forward is called with. `structure` holds (args, kwargs) with a Leaf for each tensor, in `names`' order."""

    inputs: list[TensorSpec]
    names: list[str]
    structure: Any
    examples: dict[str, Array]
    """the author's example inputs by name; empty where there are none"""
    fixed: list[str]
    """arguments that are no tensors, as `name=value`"""


def bind(
    source: Source,
    arguments: Sequence[str],
    given: tuple[list[Any], dict[str, Any]] | None,
    axes: Axes | None = None,
) -> Binding:
    """Bind the source's described inputs, its examples, or both, to forward.

    `arguments` are the names of forward's arguments, `given` the args and kwargs of an example call, and `axes` along
    which axis each of its tensors has its rows; by default the likeliest. Raises UsageError where neither tells the
    inputs, or the two do not fit.
    """
    described = source.network_inputs
    leaves: list[tuple[str, torch.Tensor]] = []
    fixed: list[str] = []
    structure: Any
    if given is not None:
        args, kwargs = given
        places = [*arguments, *(f"input_{n}" for n in range(len(arguments), len(args)))]
        structure = (
            [take_apart(value, name, leaves, fixed) for name, value in zip(places, args, strict=False)],
            {name: take_apart(value, name, leaves, fixed) for name, value in kwargs.items()},
        )
        leaves = [(n, t.float() if t.dtype == torch.bfloat16 else t) for n, t in leaves]
    elif described is not None:
        structure = _called_by(described, arguments)
    else:
        first = arguments[0] if arguments else "x"
        raise UsageError(
            "a torch module does not tell the shapes of its inputs",
            where=source.reference,
            hint="return (model, example_inputs) from the factory, pass --samples FILE.npz, or add "
            f"--input '{first}:float32[batch,...]'",
        )
    axes = next(ways([tuple(tensor.shape) for _, tensor in leaves])) if axes is None else axes
    seen = [spec_of(name, tensor.numpy(), axis) for (name, tensor), axis in zip(leaves, axes, strict=True)]
    names = [spec.name for spec in (described or seen)]
    if described and leaves:
        if len(described) != len(seen):
            raise UsageError(
                f"{len(described)} inputs are described, the examples hold {', '.join(s.name for s in seen)}",
                where=source.reference,
            )
        # A run's network input may carry another name than forward's argument; positions decide then.
        if {spec.name for spec in described} == {spec.name for spec in seen}:
            names = [spec.name for spec in seen]
    examples = {name: tensor.numpy() for name, (_, tensor) in zip(names, leaves, strict=False)}
    return Binding(list(described or seen), names, structure, examples, fixed)


def called_with(given: Any, arguments: Sequence[str], reference: str) -> tuple[list[Any], dict[str, Any]]:
    """The args and kwargs that the author's examples stand for."""
    if isinstance(given, torch.Tensor | np.ndarray):
        return [given], {}
    if isinstance(given, Mapping):
        if set(given) <= set(arguments):
            return [], dict(given)
        return [given], {}  # forward takes the dict itself
    if isinstance(given, list) and (rows := _numbers(given)) is not None:
        return [rows], {}
    if isinstance(given, Sequence) and not isinstance(given, str):
        return list(given), {}
    raise UsageError(f"example_inputs is {type(given).__name__}", where=reference, hint="a tensor, tuple or dict")


def narrowed(given: Any) -> Any:
    """The examples with numpy's float64 as float32: numpy's default, which nobody chose for a float32 module."""
    if isinstance(given, np.ndarray):
        return given.astype(np.float32) if given.dtype == np.float64 else given
    if isinstance(given, dict):
        return {name: narrowed(value) for name, value in given.items()}
    if type(given) in (list, tuple):
        return type(given)(narrowed(value) for value in given)
    return given


def _numbers(given: list[Any]) -> torch.Tensor | None:
    """Lists of numbers within a list are the rows of one tensor; None for any other list."""
    inner: Any = given
    while isinstance(inner, list) and inner:
        inner = inner[0]
    if not isinstance(given[0] if given else None, list) or not isinstance(inner, bool | int | float):
        return None
    try:
        return torch.tensor(given)
    except (TypeError, ValueError):
        return None


def _called_by(described: Sequence[TensorSpec], arguments: Sequence[str]) -> Any:
    """By name where the described names are arguments of forward, by position where they are not.

    Several for a forward of one argument are a dict of them.
    """
    if len(described) > len(arguments) == 1:
        return [{spec.name: Leaf(index) for index, spec in enumerate(described)}], {}
    if len(described) > len(arguments) > 0:
        raise UsageError(f"{len(described)} inputs are described, forward takes {', '.join(arguments)}")
    names = [spec.name for spec in described]
    if set(names) <= set(arguments) and names != list(arguments[: len(names)]):
        return [], {name: Leaf(index) for index, name in enumerate(names)}
    return [Leaf(index) for index in range(len(names))], {}


def argument_names(module: torch.nn.Module) -> list[str]:
    """The names of forward's arguments that may be given by name."""
    if isinstance(module, torch.jit.ScriptModule):
        return [argument.name for argument in module.forward.schema.arguments if argument.name != "self"]
    return [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def blank(spec: TensorSpec, inputs: Sequence[TensorSpec]) -> Array:
    """Random inputs of a described shape for tracing; every named size gets a number of its own."""
    names = ["batch", *sorted({name for other in inputs for name in other.named_dimensions} - {"batch"})]
    sizes = {name: EXAMPLE_BATCH + 2 * number for number, name in enumerate(names)}
    shape = [size_of(size, sizes, EXAMPLE_BATCH) for size in spec.shape]
    generator = np.random.default_rng(0)
    if spec.dtype.startswith(("int", "uint")):
        low, high = (spec.domain.low, spec.domain.high) if spec.domain else (None, None)
        return generator.integers(int(low or 0), int(high if high is not None else 1) + 1, shape).astype(spec.dtype)
    if spec.dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    return generator.standard_normal(shape).astype(spec.dtype)

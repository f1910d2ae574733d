"""Nested torch arguments and answers (dict, tuple, dataclass, optional, numbers) as flat, stably named tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from onnxpress.core.errors import BadModel, UsageError

_REAL = "take and return real and imaginary parts: torch.view_as_real, torch.view_as_complex"


@dataclass(frozen=True)
class Leaf:
    """The place of one tensor in a structure."""

    index: int


@dataclass(frozen=True)
class Made:
    """A dataclass or namedtuple, made again from its fields."""

    kind: type
    fields: dict[str, Any]


def take_apart(value: Any, name: str, leaves: list[tuple[str, torch.Tensor]], fixed: list[str]) -> Any:
    """Append the tensors of `value` to `leaves` as (name, tensor); returns the structure that `put_together` fills.

    Numbers, strings and switches stay in the structure and are told in `fixed`. Raises UsageError for anything else.
    """
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            raise UsageError(f"the example of {name!r} is complex, and ONNX has no complex tensors", hint=_REAL)
        leaves.append((name, value.detach().cpu()))
        return Leaf(len(leaves) - 1)
    if value is None:
        return None
    if isinstance(value, bool | int | float | str):
        fixed.append(f"{name}={value!r}")
        return value

    def inner(items: Mapping[str, Any]) -> dict[str, Any]:
        return {key: take_apart(item, f"{name}.{key}", leaves, fixed) for key, item in items.items()}

    if isinstance(value, Mapping):
        return inner(value)
    if hasattr(value, "_asdict"):
        return Made(type(value), inner(value._asdict()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return Made(type(value), inner({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}))
    if isinstance(value, list | tuple):
        return type(value)(take_apart(item, f"{name}.{number}", leaves, fixed) for number, item in enumerate(value))
    raise UsageError(
        f"the example of {name!r} is {type(value).__name__}, not a tensor",
        hint="give tensors, or dicts and tuples of them",
    )


def put_together(structure: Any, tensors: Sequence[Any]) -> Any:
    """The structure with its leaves replaced by `tensors`."""
    if isinstance(structure, Leaf):
        return tensors[structure.index]
    if isinstance(structure, Made):
        return structure.kind(**{key: put_together(item, tensors) for key, item in structure.fields.items()})
    if isinstance(structure, dict):
        return {key: put_together(item, tensors) for key, item in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(put_together(item, tensors) for item in structure)
    return structure


def flatten(answer: Any, prefix: str = "") -> dict[str, Any]:
    """Outputs by stable names: dict keys and fields as they are, positions as `output_0`, a lone tensor as `output`."""
    if isinstance(answer, torch.Tensor):
        if answer.is_complex():
            raise BadModel(f"forward returns complex numbers in {prefix or 'its output'}; ONNX has none", hint=_REAL)
        return {prefix or "output": answer}
    if isinstance(answer, bool | int | float | torch.SymInt | torch.SymFloat | torch.SymBool):
        return {prefix or "output": _as_tensor(answer)}
    if isinstance(answer, Mapping):
        items = [(str(key), value) for key, value in answer.items()]
    elif hasattr(answer, "_asdict"):
        items = list(answer._asdict().items())
    elif dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        items = [(field.name, getattr(answer, field.name)) for field in dataclasses.fields(answer)]
    elif isinstance(answer, list | tuple):
        items = [(str(number) if prefix else f"output_{number}", value) for number, value in enumerate(answer)]
    else:
        raise BadModel(
            f"forward returns {type(answer).__name__}, which has no tensor form", hint="return tensors, tuples or dicts"
        )
    flat: dict[str, Any] = {}
    for name, value in items:
        if value is not None:
            flat.update(flatten(value, f"{prefix}.{name}" if prefix else name))
    return flat


def tensors_of(answer: Any) -> list[Any]:
    """The tensors in whatever a submodule returned; what has no tensor form is left out."""
    if isinstance(answer, torch.Tensor):
        return [answer]
    if isinstance(answer, Mapping):
        answer = list(answer.values())
    if isinstance(answer, list | tuple):
        return [tensor for value in answer for tensor in tensors_of(value)]
    return []


def _as_tensor(number: Any) -> torch.Tensor:
    """A 0-d tensor that follows a traced size: torch.tensor() would take the example's value as a constant."""
    kinds = ((bool | torch.SymBool, torch.bool), (int | torch.SymInt, torch.int64))
    dtype = next((dtype for kind, dtype in kinds if isinstance(number, kind)), torch.float32)
    return torch.full((), number, dtype=dtype)


class Flat(torch.nn.Module):
    """A module behind tensors in, tensors out: what both exporters understand without further rules.

    An output that is an input, or the same tensor as another output, is copied: the exporter would rename the input,
    or drop one of the two.
    """

    def __init__(self, module: torch.nn.Module, structure: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self._structure, self._names = structure, list(names)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The module's outputs in the order of their names."""
        args, kwargs = put_together(self._structure, tensors)
        outputs = flatten(self.module(*args, **kwargs))
        if len(outputs) != len(self._names):
            raise BadModel(f"forward returned {len(outputs)} outputs while it was traced, {len(self._names)} before")
        seen: list[torch.Tensor] = list(tensors)
        answer = []
        for value in outputs.values():
            answer.append(value.clone() if any(value is other for other in seen) else value)
            seen.append(value)
        return tuple(answer)

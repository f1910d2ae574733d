"""What a written model takes and answers, as its description says it."""

from __future__ import annotations

from typing import Any

from onnxpress.core.tensors import TensorSpec
from onnxpress.export.port.code import tuple_of
from onnxpress.export.port.layout import Value, holds_tensors
from onnxpress.export.port.steps import Shown, size_name


def axes_of(arguments: list[str], specs: list[TensorSpec], perms: Any) -> str:
    """The arguments with their shapes as the code takes them."""
    return "; ".join(
        f"{name} ({', '.join(str(spec.shape[a]) for a in perm)})"
        for name, spec, perm in zip(arguments, specs, perms, strict=True)
    )


def answers_of(outputs: Any, specs: list[TensorSpec], shown: list[Shown]) -> str:
    """Their shapes; a size that varies is called as it is among the inputs'."""
    if isinstance(outputs, Value) and outputs.parts is None:
        sizes = zip(outputs.shown.first, outputs.shown.second, strict=True)
        named = [str(a) if a == b else size_name((a, b), specs, shown) for a, b in sizes]
        return tuple_of(named[axis] for axis in outputs.perm)
    if isinstance(outputs, dict):
        return ", ".join(f"{key} {answers_of(part, specs, shown)}" for key, part in outputs.items())
    parts = (outputs.parts or ()) if isinstance(outputs, Value) else outputs
    return ", ".join(answers_of(part, specs, shown) for part in parts if holds_tensors(part))

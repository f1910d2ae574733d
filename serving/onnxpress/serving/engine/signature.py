"""A loaded model's inputs and outputs as tensor specifications, and the manifest's word on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from onnxpress.core.errors import BadModel, CorruptVersion
from onnxpress.core.onnx_graph import Model
from onnxpress.core.tensors import TensorSpec

_DTYPES = {"float": "float32", "double": "float64"}
_NARROW = ("float8", "float4", "int2", "int4", "uint2", "uint4")
_OTHERS = {
    "seq": ("is a sequence of tensors", "put them into one tensor in the graph (ConcatFromSequence), or name each"),
    "map": ("is a map", "from scikit-learn: convert with options={'zipmap': False}, which leaves plain columns"),
    "optional": ("may be absent", "give the graph the tensor itself, with a size of zero where there is none"),
    "sparse_tensor": ("is a sparse tensor", "make it dense in the graph"),
}
"""what the runtime calls a type → what it is, and what to do"""


def declared(values: Iterable[Any]) -> tuple[TensorSpec, ...]:
    """The runtime's NodeArgs as specs. Raises BadModel for what is no tensor, or of an element type without a dtype."""
    return tuple(_spec(value) for value in values)


def carried(values: Iterable[Any]) -> tuple[TensorSpec, ...]:
    """Those of the NodeArgs that requests can carry, as specs."""
    found = []
    for value in values:
        try:
            found.append(_spec(value))
        except BadModel:
            continue
    return tuple(found)


def check_ranks(model: Model) -> None:
    """Raise BadModel where an input says not even how many axes it has: the runtime would call it a single number."""
    for value in model.graph.inputs:
        if value.kind == "tensor" and value.shape is None:
            raise BadModel(
                f"the input {value.name!r} declares no shape, so that nobody can tell which requests fit it",
                hint="declare its axes in the graph; a name stands for a size that varies",
            )


def _spec(value: Any) -> TensorSpec:
    element = value.type.removeprefix("tensor(").removesuffix(")")
    if value.type != f"tensor({element})":
        kind, hint = _OTHERS.get(value.type.partition("(")[0], ("is no tensor", "export it with tensors"))
        raise BadModel(f"{value.name!r} ({value.type}) {kind}; requests and answers carry single tensors", hint=hint)
    if element.startswith(_NARROW):
        raise BadModel(
            f"{value.name!r} is {value.type}, for which the Open Inference Protocol has no datatype",
            hint="cast it to float16 or int8 at the model's border; in weights and inside the graph it may stay",
        )
    # A size that the model leaves open and unnamed gets a name of its own: it binds nothing to another input.
    shape = tuple(
        size if isinstance(size, int | str) and size != "" else f"{value.name}_{axis}"
        for axis, size in enumerate(value.shape)
    )
    try:
        return TensorSpec(name=value.name, dtype=_DTYPES.get(element, element), shape=shape)
    except ValueError as error:
        raise BadModel(str(error), hint="export it with another element type or shape") from None


def agreed(specs: Sequence[TensorSpec], promised: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The manifest's specs (dimension names, domains) in the model's order.

    Raises CorruptVersion where the manifest names other tensors, or other dtypes, ranks or sizes, than the model has.
    """
    by_name = {spec.name: spec for spec in promised}
    if by_name.keys() != {spec.name for spec in specs}:
        raise _contradiction(", ".join(by_name), ", ".join(spec.name for spec in specs))
    for spec in specs:
        promise = by_name[spec.name]
        fits = promise.dtype == spec.dtype and len(promise.shape) == len(spec.shape)
        # Shape inference may know less, or more, than the author; two different numbers cannot both be right.
        sizes = zip(promise.shape, spec.shape, strict=fits)
        if not fits or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in sizes):
            raise _contradiction(str(promise), str(spec))
    return tuple(by_name[spec.name] for spec in specs)


def share_rows(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bool:
    """Whether every input and output begins with one dimension that varies and that all share."""
    firsts = {spec.shape[0] if spec.shape else None for spec in (*inputs, *outputs)}
    return len(firsts) == 1 and isinstance(next(iter(firsts)), str)


def _contradiction(promised: str, found: str) -> CorruptVersion:
    return CorruptVersion(f"the manifest says {promised}, the model has {found}", hint="export it again")

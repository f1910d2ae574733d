"""Tensor specifications: names, dtypes and named dimensions of a model's inputs and outputs.

Written `features:float32[batch,30]`. A dimension is a size, or a name for a size that varies; the same name in two
inputs means the same size.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from onnxpress.core.errors import UsageError

DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64", "string",
)  # fmt: skip
"""dtype names as numpy and ONNX use them; `string` is Unicode text of any length."""

FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
Dimension = int | str
Special = Literal["nan", "infinity"]
"""float values that are no numbers to reckon with"""

_SPEC = re.compile(r"(?P<name>[^:\[\]]+):(?P<dtype>[a-z0-9]+)\[(?P<shape>[^\[\]]*)\]\s*")
_DIMENSION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+")


class Domain(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The values that an input accepts: inclusive bounds for numbers, a list of values for strings."""

    low: float | None = None
    high: float | None = None
    values: list[str] | None = None
    enforced: bool = False
    """whether the server answers 400 to all else, as its author said; without it this only says what was asked"""

    def __str__(self) -> str:
        if self.values is not None:
            return f"{{{', '.join(self.values)}}}"
        low, high = (None if end is None else f"{end:.17g}" for end in (self.low, self.high))
        return f"at least {low}" if high is None else f"at most {high}" if low is None else f"[{low}, {high}]"


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Name, dtype and shape of one input or output; `shape` holds sizes and names of varying sizes."""

    name: str
    dtype: str
    shape: tuple[Dimension, ...]
    domain: Domain | None = None
    refuses: tuple[Special, ...] = ()
    """values that the original answers otherwise than the export, or not at all; the server answers 400 to them"""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype {self.dtype!r} of {self.name!r} is not one of {', '.join(DTYPES)}")
        if any(isinstance(size, int) and size < 0 for size in self.shape):
            raise ValueError(f"shape {list(self.shape)} of {self.name!r} has a negative size; name a size that varies")

    def __str__(self) -> str:
        return f"{self.name}:{self.dtype}[{','.join(map(str, self.shape))}]"

    @property
    def named_dimensions(self) -> tuple[str, ...]:
        """The names of the varying dimensions, in order."""
        return tuple(size for size in self.shape if isinstance(size, str))


def parse_spec(text: str) -> TensorSpec:
    """`name:dtype[dim,...]` → TensorSpec. Raises UsageError saying which part is wrong."""
    example = "write name:dtype[dim,...], for example 'x:float32[batch,3,224,224]'"
    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"cannot read the tensor specification {text!r}", hint=example)
    parts = [part.strip() for part in match["shape"].split(",")] if match["shape"].strip() else []
    for part in parts:
        if not _DIMENSION.fullmatch(part):
            raise UsageError(f"dimension {part!r} in {text!r} is neither a size nor a name", hint=example)
    try:
        return TensorSpec(
            name=match["name"].strip(),
            dtype=match["dtype"],
            shape=tuple(int(part) if part.isdigit() else part for part in parts),
        )
    except ValueError as error:
        raise UsageError(str(error), where=text, hint=example) from None


def bind_dimensions(specs: Sequence[TensorSpec], shapes: Sequence[Sequence[int]]) -> dict[str, int]:
    """The size of every named dimension, given concrete shapes in the order of `specs`.

    Raises ValueError, with the tensor's name, on a wrong rank, a wrong fixed size, or a name bound to two sizes.
    """
    bound: dict[str, int] = {}
    for spec, shape in zip(specs, shapes, strict=True):
        if len(shape) != len(spec.shape):
            raise ValueError(f"{spec.name!r} has shape {list(shape)}; {spec} wants {len(spec.shape)} dimensions")
        for axis, (wanted, size) in enumerate(zip(spec.shape, shape, strict=True)):
            expected = bound.setdefault(wanted, size) if isinstance(wanted, str) else wanted
            if size != expected:
                named = isinstance(wanted, str)
                reason = f"{wanted!r} is {expected} elsewhere" if named else f"{spec} wants {expected}"
                raise ValueError(f"{spec.name!r} has shape {list(shape)}: axis {axis} is {size}, but {reason}")
    return bound

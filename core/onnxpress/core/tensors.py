"""Tensor specifications: names, dtypes and named dimensions of a model's inputs and outputs.

Written `features:float32[batch,30]`. A dimension is a size, or a name for a size that varies; the same name in two
inputs means the same size. `mask:int64[batch,past+new]` has a size that is the sum of two others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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

_SPEC = r"(?P<name>[^:\[\]]+):(?P<dtype>[a-z0-9]+)\[(?P<shape>[^\[\]]*)\]\s*"
_DIMENSION = r"[0-9]+|[A-Za-z_][A-Za-z0-9_]*(\+([A-Za-z_][A-Za-z0-9_]*|[0-9]+))*"


class Domain(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The values that an input accepts: inclusive bounds for numbers, a list of values for strings.

    Whole numbers may be listed too, as text: the codes of a category.
    """

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
        """The names of the varying dimensions, in order; of a sum the names in it."""
        return tuple(term for size in self.shape for term in terms(size) if isinstance(term, str))

    @property
    def sums(self) -> tuple[str, ...]:
        """The dimensions that are sums: `past+new`."""
        return tuple(size for size in self.shape if isinstance(size, str) and "+" in size)


def terms(size: Dimension) -> list[Dimension]:
    """What a dimension is the sum of: `past+new` → past, new; a size or a name alone is itself."""
    if isinstance(size, int) or "+" not in size:
        return [size]
    return [int(term) if term.isdigit() else term for term in size.split("+")]


def size_of(size: Dimension, known: Mapping[str, int], unknown: int) -> int:
    """The number that a dimension stands for, where `known` has the sizes of names; a name without one is `unknown`."""
    return sum(term if isinstance(term, int) else known.get(term, unknown) for term in terms(size))


def broken_sum(specs: Sequence[TensorSpec], bound: Mapping[str, int]) -> str:
    """Which sum does not hold among bound sizes, in words: empty where all hold."""
    for spec in specs:
        for size in spec.sums:
            if size in bound and all(term in bound for term in terms(size) if isinstance(term, str)):
                expected = size_of(size, bound, 0)
                if bound[size] != expected:
                    return f"{spec.name!r} has {bound[size]} where {spec} wants {size}, which is {expected}"
    return ""


def parse_spec(text: str) -> TensorSpec:
    """`name:dtype[dim,...]` → TensorSpec. Raises UsageError saying which part is wrong."""
    example = "write name:dtype[dim,...], for example 'x:float32[batch,3,224,224]'"
    match = re.fullmatch(_SPEC, text.strip())
    if match is None:
        raise UsageError(f"cannot read the tensor specification {text!r}", hint=example)
    parts = (
        [re.sub(r"\s*\+\s*", "+", part.strip()) for part in match["shape"].split(",")] if match["shape"].strip() else []
    )
    for part in parts:
        if not re.fullmatch(_DIMENSION, part):
            raise UsageError(
                f"dimension {part!r} in {text!r} is neither a size, a name nor a sum of them", hint=example
            )
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

    Raises ValueError, with the tensor's name, on a wrong rank, a wrong fixed size, a name bound to two sizes, or a sum
    that does not hold.
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
    if broken := broken_sum(specs, bound):
        raise ValueError(broken)
    return {name: size for name, size in bound.items() if "+" not in name}

"""Tensors of two models that may be called otherwise: paired by name, else by place where types and sizes agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.core.errors import NotEquivalent
from onnxpress.core.tensors import Dimension

Kind = tuple[str, Sequence[Dimension]]
"""dtype, and sizes: a name stands for one that may be any"""


def paired(what: str, ours: Mapping[str, Kind | None], theirs: Mapping[str, Kind | None]) -> dict[str, str]:
    """The name among `ours` → the name among `theirs`; a kind of None is not known, and fits every other.

    Equal names are pairs. What is left is paired by place: the first with the first. Raises NotEquivalent where there
    are not as many, or where two that would be a pair differ in dtype or size.
    """
    pairs = {name: name for name in ours if name in theirs}
    left, right = [name for name in ours if name not in pairs], [name for name in theirs if name not in pairs]
    if not left and (what == "outputs" or not right):  # a file may answer less than its source
        return pairs
    if len(left) != len(right):
        raise _unlike(what, ours, theirs)
    for name, other in zip(left, right, strict=True):
        if not _fits(ours[name], theirs[other]):
            raise _unlike(what, ours, theirs)
        pairs[name] = other
    return {name: pairs[name] for name in ours}


def told(what: str, pairs: Mapping[str, str]) -> str:
    """Which of them were paired by their place; empty where all have the same name."""
    by_place = [f"{name} with the source's {other}" for name, other in pairs.items() if name != other]
    return f"{what} paired by place, as their names differ: {', '.join(by_place)}" if by_place else ""


def _fits(one: Kind | None, other: Kind | None) -> bool:
    if one is None or other is None:
        return True
    (dtype, shape), (other_dtype, other_shape) = one, other
    return (
        dtype == other_dtype
        and len(shape) == len(other_shape)
        and all(a == b or isinstance(a, str) or isinstance(b, str) for a, b in zip(shape, other_shape, strict=True))
    )


def _unlike(what: str, ours: Mapping[str, Kind | None], theirs: Mapping[str, Kind | None]) -> NotEquivalent:
    return NotEquivalent(
        f"the file's {what} are {_listed(ours)}; the source's are {_listed(theirs)}",
        hint="give the file's tensors the names of the source's, or name the source that it was made from",
    )


def _listed(kinds: Mapping[str, Kind | None]) -> str:
    return ", ".join(
        name if kind is None else f"{name}:{kind[0]}[{','.join(map(str, kind[1]))}]" for name, kind in kinds.items()
    )

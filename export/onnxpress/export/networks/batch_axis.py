"""Along which axis of an example its rows lie: the one that is as long as the other inputs' rows are many.

A recurrent state of `[layers, batch, hidden]` has its rows on the second axis. Sizes alone may not tell; then the model
is asked, and the first way in which it answers another number of rows is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, combinations_with_replacement, islice, product

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec

Axes = tuple[int | None, ...]
Takes = Callable[[dict[str, int], list[TensorSpec]], bool]
_MOST_WAYS, _MOST_SUMS = 64, 32


def rows_of(shapes: Sequence[tuple[int, ...]]) -> int:
    """How many rows the examples have: the first input's size that all share, as a first axis where one is."""
    shapes = [shape for shape in shapes if shape]
    if not shapes:
        return 1
    common = [size for size in shapes[0] if all(size in shape for shape in shapes)]
    return max(common, key=lambda size: sum(shape[0] == size for shape in shapes), default=shapes[0][0])


def ways(shapes: Sequence[tuple[int, ...]]) -> Iterator[Axes]:
    """The batch axis of every input, likely ones first; None for an input that has no rows of its own.

    One input at least has its rows first. An input that is as long as the rows are many has rows: a model that takes
    no other number of them has its batch written into its code.
    """
    rows = rows_of(shapes)

    def likely(shape: tuple[int, ...]) -> list[int | None]:
        if not shape:
            return [None]
        equal: list[int | None] = [axis for axis, size in enumerate(shape) if size == rows]
        return equal if 0 in equal else [*equal, 0, None]

    return islice((axes for axes in product(*map(likely, shapes)) if 0 in axes or not any(shapes)), _MOST_WAYS)


def spec_of(name: str, array: Array, axis: int | None) -> TensorSpec:
    """The spec of an example whose rows lie along `axis`; None for one without rows."""
    shape = tuple("batch" if place == axis else size for place, size in enumerate(array.shape))
    return TensorSpec(name=name, dtype=str(array.dtype), shape=shape)


def opened(specs: Sequence[TensorSpec], takes: Takes) -> list[TensorSpec]:
    """The specs with further axes that vary: those that the model `takes` at another size, asked by a name for each.

    For a step with a state beside its inputs, whose sequences are of any length though the example shows one. Axes of
    one size are first taken for one dimension.
    """
    found = list(specs)
    sizes = dict.fromkeys(size for spec in specs for size in spec.shape[1:] if isinstance(size, int))
    for size in sizes:
        places = [(spec.name, axis) for spec in specs for axis, one in enumerate(spec.shape) if axis and one == size]
        for group in [places, *([place] for place in places if len(places) > 1)]:
            name = f"{group[0][0].replace('.', '_')}_{group[0][1]}"
            trial = [_named(spec, name, [axis for owner, axis in group if owner == spec.name]) for spec in found]
            if takes({name: size + 2}, trial):
                found = trial
                break
    return found


def summed(specs: Sequence[TensorSpec], takes: Takes) -> list[TensorSpec]:
    """The specs with three more axes that vary, one as long as both others together: `past`, `new` and what is seen.

    The example suggests it, and the model says it: it must answer where all three grow so, and fail where one of them
    grows alone. Axes of one size that stand at the same place of tensors of one rank are first taken for one dimension.
    """
    if len(specs) < 2:
        return list(specs)
    kinds: dict[int, dict[tuple[int, int], list[tuple[str, int]]]] = {}
    for spec in specs:
        for axis, size in enumerate(spec.shape):
            if axis and isinstance(size, int) and size:
                kinds.setdefault(size, {}).setdefault((len(spec.shape), axis), []).append((spec.name, axis))
    found: list[TensorSpec] | None = None
    for trial, names in islice(_sums(specs, kinds), _MOST_SUMS):
        one, other, total = names
        alone = ({name: size + 1} for name, size in names.items())
        first, second = names[one] + 1, names[other] + 2  # by different numbers: no other relation holds by chance
        if takes({one: first, other: second, total: first + second}, trial) and not any(
            takes(sizes, trial) for sizes in alone
        ):
            found = trial
            break
    return list(specs) if found is None else found


def _sums(
    specs: Sequence[TensorSpec], kinds: Mapping[int, Mapping[tuple[int, int], list[tuple[str, int]]]]
) -> Iterator[tuple[list[TensorSpec], dict[str, int]]]:
    """Specs with axes of three sizes named, one of them the sum of the others, and name → size in the example."""
    for first, second in combinations_with_replacement(sorted(kinds), 2):
        if first + second not in kinds:
            continue
        for groups in product(_groups(kinds[first]), _groups(kinds[second]), _groups(kinds[first + second])):
            if len({place for group in groups for place in group}) < sum(map(len, groups)):
                continue  # of two equal sizes, which are different axes
            trial, names = list(specs), {}
            for group, size in zip(groups, (first, second, first + second), strict=True):
                name = f"{group[0][0].replace('.', '_')}_{group[0][1]}"
                names[name] = size
                trial = [_named(spec, name, [axis for owner, axis in group if owner == spec.name]) for spec in trial]
            yield trial, names


def _groups(kinds: Mapping[tuple[int, int], list[tuple[str, int]]]) -> Iterator[list[tuple[str, int]]]:
    """Axes that may be one dimension: those of one kind, of two kinds, and all."""
    for count in dict.fromkeys(min(count, len(kinds)) for count in (1, 2, len(kinds))):
        for chosen in combinations(kinds.values(), count):
            yield [place for group in chosen for place in group]


def _named(spec: TensorSpec, name: str, axes: Sequence[int]) -> TensorSpec:
    shape = tuple(name if axis in axes else size for axis, size in enumerate(spec.shape))
    return msgspec.structs.replace(spec, shape=shape)


def repeated(array: Array, spec: TensorSpec, sizes: Mapping[str, int]) -> Array:
    """The example at these sizes of its named dimensions, repeated or cut along them; else as it is."""
    for axis, name in enumerate(spec.shape):
        if isinstance(name, str) and name in sizes:
            array = np.take(array, np.arange(sizes[name]) % array.shape[axis], axis=axis)
    return array

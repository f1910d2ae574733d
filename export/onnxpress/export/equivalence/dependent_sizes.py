"""Named sizes that depend on each other: `total` that is always `past` and `new` together, as in a cache of keys.

The example suggests it, and the original says it: it must fail where one of the sizes grows alone, and answer where the
sum is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import example_sizes, generate
from onnxpress.export.equivalence.reference import Reference

_BATCH = 2
_FAILS = (OnnxpressError, ArithmeticError, LookupError, TypeError, ValueError)


def with_sums(reference: Reference, inputs: Sequence[TensorSpec], samples: Mapping[str, Array]) -> list[TensorSpec]:
    """The inputs with such sizes written as sums (`past+new`) where the example shows one and the original agrees."""
    found = list(inputs)
    sizes = example_sizes(inputs, samples)
    for total in sizes:
        for one, other in combinations([name for name in sizes if name != total], 2):
            if sizes[one] + sizes[other] != sizes[total]:
                continue
            # Longer by different numbers, so that no other relation holds by chance.
            kept = {one: sizes[one] + 1, other: sizes[other] + 2, total: sizes[total] + 3}
            if _answers(reference, found, samples, kept) and not any(
                _answers(reference, found, samples, {name: sizes[name] + 1}) for name in (one, other, total)
            ):
                found = [_replaced(spec, total, f"{one}+{other}") for spec in found]
                break
    return found


def _answers(
    reference: Reference, inputs: Sequence[TensorSpec], samples: Mapping[str, Array], sizes: Mapping[str, int]
) -> bool:
    feeds = generate(inputs, samples, {"batch": _BATCH, **sizes}, np.random.default_rng(0))
    try:
        reference.run(feeds)
    except _FAILS:
        return False
    return True


def _replaced(spec: TensorSpec, name: str, by: str) -> TensorSpec:
    return msgspec.structs.replace(spec, shape=tuple(by if size == name else size for size in spec.shape))

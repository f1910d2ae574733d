"""What a layer within answers to tensors of sizes that vary, where it cannot be called with the numbers for these.

A table of 64 places is shorter than any number that stands for a size: a cut of it, as long as the rows are, is not.
Such a layer is called with two small sizes in the place of each, and what it answers is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, tree
from keras.src.ops.node import Node

from onnxpress.export.port.from_keras.stand_ins import PRIMES, is_stand_in

_FIRST, _SECOND = (3, 5, 6, 4), (5, 7, 8, 9)
"""of the first size that varies, of the second and so on: two of each, so that none of the pairs is another's"""


def by_small_sizes(call: Callable[..., Any], layer: keras.Layer, args: Any, kwargs: Any) -> Any:
    """The call's answers as they stand in the graph; None where small sizes do not tell them."""
    given = [x for x in tree.flatten((args, kwargs)) if isinstance(x, KerasTensor)]
    sizes = {size for x in given for size in x.shape if is_stand_in(size)}
    primes = [prime for prime in PRIMES if any(size % prime == 0 for size in sizes)]
    if not primes or len(primes) > len(_FIRST):
        return None
    small = [dict(zip(primes, sizes, strict=False)) for sizes in (_FIRST, _SECOND)]
    answers = [tree.map_structure(lambda x, s=s: _smaller(x, s), (args, kwargs)) for s in small]
    first, second = (call(layer, *a, **k) for a, k in answers)
    outputs = tree.map_structure(lambda one, other: _larger(one, other, *small), first, second)
    Node(layer, call_args=args, call_kwargs=kwargs, outputs=outputs)
    return outputs


def _smaller(value: Any, sizes: dict[int, int]) -> Any:
    if not isinstance(value, KerasTensor):
        return value
    return KerasTensor(tuple(_instead(size, sizes) for size in value.shape), value.dtype)


def _instead(size: Any, sizes: dict[int, int]) -> Any:
    for prime, small in sizes.items():
        if is_stand_in(size) and size % prime == 0:
            return size // prime * small
    return size


def _larger(one: Any, other: Any, first: dict[int, int], second: dict[int, int]) -> Any:
    if not isinstance(one, KerasTensor):
        return one
    return KerasTensor(
        tuple(_meant(*pair, first, second) for pair in zip(one.shape, other.shape, strict=True)), one.dtype
    )


def _meant(one: int, other: int, first: dict[int, int], second: dict[int, int]) -> int:
    """The number that stands for a size which is `one` and `other` of two small calls. Raises ValueError of none."""
    if one == other:
        return one
    for prime, small in first.items():
        if one % small == 0 and other == one // small * second[prime]:
            return one // small * prime
    raise ValueError(f"sizes of {one} and {other} follow none that is given")

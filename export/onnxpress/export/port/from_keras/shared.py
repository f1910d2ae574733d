"""What all blocks of one model know while they are made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxpress.core.arrays import Array
from onnxpress.export.port.from_keras.stand_ins import PRIMES


@dataclass(frozen=True)
class Carried:
    """A parameter or buffer of the torch model and what it is made of."""

    name: str
    """in the torch model's state"""
    sources: tuple[int, ...]
    """places in the Keras model's `weights`"""
    carry: Callable[..., Array]
    """their arrays → the parameter; for gradients too"""


def parts_of(
    weights: Sequence[Any], attribute: str, carried: Sequence[Carried], parameters: Collection[str]
) -> Iterator[tuple[int, Any, list[Carried]]]:
    """Of each weight of Keras that learns: its place, what Keras holds as this `attribute`, and what is made of it.

    That is the parameters made of it alone; none where another weight is in one of them too. `parameters` are the
    written model's, each by one name.
    """
    for place, weight in enumerate(weights):
        held = getattr(weight, attribute, None)
        if held is not None and weight.trainable:
            parts = [one for one in carried if place in one.sources and one.name in parameters]
            yield place, held, parts if all(one.sources == (place,) for one in parts) else []


@dataclass
class Shared:
    """What all blocks of one model know."""

    variables: list[Any]
    """the Keras model's weights"""
    settled: set[Any]
    """flattenings that must be in Keras's order"""
    transposes: int = 0
    reshapes: int = 0
    """that move axes of 1 alone"""
    carried: list[Carried] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    """named ones, which are no fault"""
    starts: dict[str, list[str]] = field(default_factory=dict)
    """the torch model's layer → how its first weights are drawn"""
    owners: dict[int, str] = field(default_factory=dict)
    """the id of a Keras layer → the path of the block that has it"""
    constants: set[str] = field(default_factory=set)
    """buffers that no weight of Keras stands behind"""

    renamed: dict[str, str] = field(default_factory=dict)
    """layers that are put into blocks: what they were called → their paths"""
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    """a size that varies, at both sizes → the prime number that stands for it while a layer is traced"""

    def stand_in(self, pair: tuple[int, int]) -> int:
        """A number that no layer has: code that asks for a size that varies can go on with it.

        What is always so many times another one has so many times its number.
        """
        for known, prime in self.sizes.items():
            times = pair[0] // known[0]
            if times and pair == (times * known[0], times * known[1]):
                return times * prime
        return self.sizes.setdefault(pair, PRIMES[len(self.sizes)])

    def index(self, variable: Any) -> int | None:
        """The place of a Keras variable among the weights."""
        return next((n for n, one in enumerate(self.variables) if one is variable), None)

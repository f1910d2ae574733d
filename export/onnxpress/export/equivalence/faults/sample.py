"""A bounded sample of the faults that can be planted in one graph: some of every kind, the same for a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx

from onnxpress.export.equivalence.faults import decisions, structure, values  # noqa: F401 - they register the planters
from onnxpress.export.equivalence.faults.planting import PLANTERS, Edit, Planter, planted, planted_in
from onnxpress.export.graph.editing import nodes
from onnxpress.serving.engine import fatal

SHAPE_CHANGING = frozenset({"stride or dilation", "off by one in a gather or slice", "baked batch size"})
"""kinds after which a tensor may hold no values"""

_DRAWS = 12


@dataclass(frozen=True, eq=False)
class Fault:
    """One fault in one graph. Nothing is changed before `graph` is asked for."""

    sound: onnx.ModelProto
    kind: str
    place: str
    edit: Edit

    def graph(self) -> onnx.ModelProto:
        """A faulty copy. Raises whatever the edit raises where it does not fit."""
        return planted(self.sound, self.edit)

    @cached_property
    def layers(self) -> list[str]:
        """The author's layers that it was planted in, as far as the graph knows them."""
        return sorted(layer for layer in planted_in(self.sound, self.graph()) if layer)

    def __str__(self) -> str:
        where = f" in {', '.join(self.layers[:2])}" if self.layers else ""
        return f"{self.kind}{where} ({self.place})"


def sample(graph: onnx.ModelProto, seed: int, most: int, *, leave_out: Sequence[str] = ()) -> Iterator[Fault]:
    """At most `most` faults in random order of places: one of each kind, then a second of each, and so on.

    A small graph has few places; other values are then changed in the same ones, as long as there are any.
    """
    generator = np.random.default_rng(seed)
    known: set[tuple[str, str]] = set()
    for _ in range(_DRAWS):
        before = len(known)
        sites = {}
        for kind, plant in PLANTERS.items():
            if kind not in leave_out:
                places = _places(plant, graph, generator)
                sites[kind] = [places[at] for at in generator.permutation(len(places))]
        for kind, place, edit in _in_turns(sites):
            if len(known) == most:
                return
            if (kind, place) not in known:
                known.add((kind, place))
                yield Fault(graph, kind, place, edit)
        if len(known) == before:
            return


def _places(plant: Planter, graph: onnx.ModelProto, generator: np.random.Generator) -> list[tuple[str, Edit]]:
    """Where a planter can plant. None in a graph that it cannot read, of an opset of long ago for instance."""
    try:
        return list(plant(graph, generator))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError):
        return []


def deadly(graph: onnx.ModelProto) -> frozenset[str]:
    """The kinds that may not be planted in this process: ONNX Runtime would end it, see `serving.engine.fatal`."""
    operators = {node.op_type for node in nodes(graph.graph)}
    return SHAPE_CHANGING if any(name.endswith(fatal.OPERATORS) for name in operators) else frozenset()


def _in_turns(sites: dict[str, list[tuple[str, Edit]]]) -> Iterator[tuple[str, str, Edit]]:
    turn = 0
    while any(turn < len(places) for places in sites.values()):
        for kind, places in sites.items():
            if turn < len(places):
                yield kind, *places[turn]
        turn += 1

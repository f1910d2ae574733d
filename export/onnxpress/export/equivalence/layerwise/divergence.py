"""The graph's tensors beside the framework's: how far each is from what the author's layers compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.layerwise.recording import Record, layouts, norm_of, thinned
from onnxpress.export.equivalence.report.schema import Point
from onnxpress.export.graph.layer_notes import LAYER, note_of

if TYPE_CHECKING:
    import onnx

SAME = 2.0
"""floors: a tensor of the graph within so many of a layer's is that layer's"""
STEPS = "processing."
"""before the name of a pre- or post-processing step, which stands for a layer"""
_COMPARABLE = 100.0
_MOVES = {
    "Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Dropout", "Slice",
    "Concat", "Split", "Gather", "Pad", "Tile", "CastLike",
}  # fmt: skip
"""operators that hand on values as they are"""
_HALF = 2
"""bytes of a float16 or bfloat16"""


class Divergence:
    """The graph on one input beside the records of the framework: how far each tensor is from the nearest of them."""

    def __init__(self, graph: onnx.ModelProto, records: Sequence[Record], steps: Mapping[str, Array]) -> None:
        self._nodes = graph.graph.node
        self.records = records
        self._steps = {name: _step(name, value) for name, value in steps.items() if value.dtype.kind == "f"}
        self._by_size: dict[int, list[int]] = {}
        for number, one in enumerate(records):
            self._by_size.setdefault(one.size, []).append(number)
        self.tags = layers_of(graph)
        self._given = {value.name for value in graph.graph.input}
        self._far: dict[str, float] = {}
        self._good: set[str] = set()
        self._claimed: set[int] = set()
        self._tolerance = SAME
        self.compared = 0
        self.nearest: dict[int, tuple[float, int]] = {}
        """record → how far the graph's nearest tensor is, and the place of its node"""
        self._own: dict[int, float] = {}
        """the same, of tensors from the record's own layer alone"""
        self.rounds_to_half = False
        """whether the graph itself rounds to half precision"""

    def see(self, place: int, node: onnx.NodeProto, name: str, value: Any) -> None:
        """Hold one tensor of the graph against the records."""
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fV" or value.size == 0:
            return
        if value.dtype.itemsize == _HALF:
            self.rounds_to_half = True
            value = value.astype(np.float64)
        same = distance(value, self._steps[name]) if name in self._steps else math.inf
        norm = None
        moves, claimed = node.op_type in _MOVES, list[int]()
        for number in self._by_size.get(value.size, ()):
            one = self.records[number]
            own = one.layer == self.tags[place]
            if not own:  # of other layers only what is equal matters; equal tensors have equal norms
                norm = norm_of(thinned(value)) if norm is None else norm
                if abs(norm - one.norm) > 2 * SAME * one.floor * math.sqrt(one.value.size):
                    continue
            far = distance(value, one)
            if far < self.nearest.get(number, (math.inf, 0))[0] and (own or far <= SAME):
                self.nearest[number] = far, place
            if own:
                self._own[number] = min(far, self._own.get(number, math.inf))
            if far <= SAME and one.telling and (moves or number not in self._claimed):
                claimed.append(number)
                same = min(same, far)
        self._far[name] = same
        if not moves:  # the same values a second time, from arithmetic, are another tensor's by chance
            self._claimed.update(claimed)

    def drift(self, least: float) -> tuple[float, int | None]:
        """How many of its own floors a layer's tensor is further off than what it was computed from, at most; and the
        first record where that is more than `least`.

        Tensors of the layer's own nodes alone: another's may come near by chance. One further than 100 floors from its
        record is not the layer's either: the converter fused that away.
        """
        worst, first = 0.0, None
        carried: list[float] = []
        places = set[int]()  # a layer and the function that it calls may compute the same tensor
        for number, one in enumerate(self.records):
            far = self._own.get(number, math.inf)
            before = max((carried[other] for other in one.inputs), default=0.0)
            comparable = far <= _COMPARABLE and one.telling
            carried.append(far if comparable else before)
            if comparable:
                places.add(self.nearest[number][1])
                worst = max(worst, far - before)
                if first is None and far - before > least:
                    first = number
        self.compared = len(places)
        return worst, first

    def far(self, number: int) -> float:
        """How far the graph's nearest tensor is from a record, in the record's noise floors; infinite for none."""
        return self.nearest.get(number, (math.inf, 0))[0]

    def curve(self, wrong_from: int | None = None) -> list[Point]:
        """The records along the graph; those that were fused away are left out, up to the one that goes wrong."""
        points: list[Point] = []
        for number, (far, place) in sorted(self.nearest.items(), key=lambda item: item[1][1]):
            lost = far > _COMPARABLE and (wrong_from is None or number < wrong_from)
            if not lost and math.isfinite(far):
                node = self._nodes[place]
                layer = self.records[number].layer
                if not points or (points[-1].node, points[-1].multiple) != (place, far):
                    points.append(Point(node=place, operator=node.op_type, layer=layer, multiple=far))
        return points

    def judge(self, worst: float) -> None:
        """Decide which tensors are good, now that it is known how far the worst output is: a weak fault needs a
        finer measure."""
        self._tolerance = max(0.1, min(SAME, worst / 4))
        self._good = self._given | {name for name, far in self._far.items() if far <= self._tolerance}

    def suspects(self, wrong: Sequence[str]) -> list[int]:
        """The nodes between the good tensors and the wrong outputs, in the graph's order."""
        producers = {name: place for place, node in enumerate(self._nodes) for name in node.output}
        passed: set[int] = set()
        waiting = list(wrong)
        while waiting:
            name = waiting.pop()
            place = producers.get(name)
            if (name in self._good and name not in wrong) or place is None or place in passed:
                continue
            passed.add(place)
            waiting += [name for name in self._nodes[place].input if name]
        return sorted(passed)

    def front(self, suspects: Sequence[int]) -> list[int]:
        """The suspect nodes that compute floats from good tensors and constants alone."""
        floats = [place for place in suspects if any(name in self._far for name in self._nodes[place].output)]
        made = {name for place in floats for name in self._nodes[place].output}
        return [place for place in floats if not (made - self._good) & set(self._nodes[place].input)]

    def guilty(self, suspects: Sequence[int]) -> int | None:
        """The number of the record where the framework first computes what the graph does not."""
        suspected = {self.tags[place] for place in suspects}
        clean: list[bool] = []
        for number, one in enumerate(self.records):
            right = self.far(number) <= self._tolerance or not one.telling
            reached = all(clean[other] for other in one.inputs)
            if not right and reached and one.layer in suspected:
                return number
            clean.append(right or reached)
        return None


def distance(value: Array, one: Record) -> float:
    """The largest difference in the record's noise floors, in the nearest layout that a converter may have chosen."""
    best = math.inf
    thin = thinned(value)
    for laid in layouts(one.value, thin.shape):
        with np.errstate(invalid="ignore"):
            difference = np.abs(np.squeeze(thin) - laid)
        same_kind = np.array_equal(np.isnan(np.squeeze(thin)), np.isnan(laid))
        far = float(np.nan_to_num(difference, nan=0.0).max(initial=0.0)) / one.floor if same_kind else math.inf
        best = min(best, far)
    return best


def _step(name: str, value: Array) -> Record:
    return Record(f"{STEPS}{name}", "", "", "", value.size, thinned(value.astype(np.float64)), ())


def layers_of(graph: onnx.ModelProto) -> list[str]:
    """The layer of every node of the main graph; one without a name takes that of a node before it, else after it."""
    nodes = graph.graph.node
    tags = [note_of(node, LAYER) for node in nodes]
    known = [any(entry.key == LAYER for entry in node.metadata_props) for node in nodes]
    producers = {name: place for place, node in enumerate(nodes) for name in node.output}
    for place, node in enumerate(nodes):
        if not known[place]:
            before = [producers[name] for name in node.input if name in producers]
            chosen = next((other for other in before if known[other]), None)
            if chosen is not None:
                tags[place], known[place] = tags[chosen], True
    for place in reversed(range(len(nodes))):
        for name in nodes[place].input:
            other = producers.get(name)
            if other is not None and known[place] and not known[other]:
                tags[other], known[other] = tags[place], True
    return tags

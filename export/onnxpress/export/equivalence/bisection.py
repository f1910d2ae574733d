"""Where an export first goes another way than its original: the layer, and the nodes that stand for it.

One pass over the graph in float64 (`numpy_graph`) meets the framework's recorded tensors (`recording`). A tensor of the
graph that holds what some layer computed is good, and so is what lies before it. From a wrong output the graph is
walked back to the good tensors: what was passed is suspect. The guilty layer is the first, in the order in which the
framework computed, whose inputs are good, whose own tensor is nowhere in the graph, and which has suspect nodes. A
layer that the converter fused with its neighbour has none, as the neighbour's tensor is good again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onnxpress.core.golden import Golden, worst_multiple
from onnxpress.export.equivalence.meaning import MEANING_LIMIT, plain
from onnxpress.export.equivalence.numpy_graph import NumpyGraph
from onnxpress.export.equivalence.recording import Array, Record, layouts, norm_of, thinned
from onnxpress.export.equivalence.report import Explanation, Point
from onnxpress.export.graph import LAYER, SOURCE, note_of

if TYPE_CHECKING:
    import onnx

_SHOWN = 5


class Walk:
    """The graph on one input beside the records of the framework: how far each tensor is from the nearest of them."""

    def __init__(self, graph: onnx.ModelProto, records: Sequence[Record], steps: Mapping[str, Record]) -> None:
        self._nodes = graph.graph.node
        self._records, self._steps = records, steps
        self._by_size: dict[int, list[int]] = {}
        for number, one in enumerate(records):
            self._by_size.setdefault(one.size, []).append(number)
        self.tags = layers_of(graph)
        self._given = {value.name for value in graph.graph.input}
        self._far: dict[str, float] = {}
        self._found: dict[int, float] = {}
        self._good: set[str] = set()
        self._tolerance = MEANING_LIMIT
        self.nearest: dict[int, float] = {}
        self.curve: list[Point] = []

    def see(self, place: int, node: onnx.NodeProto, name: str, value: Any) -> None:
        """Hold one tensor of the graph against the records."""
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.size == 0:
            return
        best = distance(value, self._steps[name]) if name in self._steps else math.inf
        same = best
        norm = None
        for number in self._by_size.get(value.size, ()):
            one = self._records[number]
            own = one.layer == self.tags[place]
            if not own:  # of other layers only what is equal matters; equal tensors have equal norms
                norm = norm_of(thinned(value)) if norm is None else norm
                if abs(norm - one.norm) > 2 * MEANING_LIMIT * one.floor * math.sqrt(one.value.size):
                    continue
            far = distance(value, one)
            if own:
                best = min(best, far)
                self.nearest[number] = min(far, self.nearest.get(number, math.inf))
            if far <= MEANING_LIMIT and one.telling:
                self._found[number] = min(far, self._found.get(number, math.inf))
                same = min(same, far)
        self._far[name] = same
        best = min(best, same)
        if math.isfinite(best):
            self.curve.append(Point(node=place, operator=node.op_type, layer=self.tags[place], multiple=best))

    def judge(self, worst: float) -> None:
        """Decide which tensors are good, now that it is known how far the worst output is: a weak fault needs a
        finer measure."""
        self._tolerance = max(0.1, min(MEANING_LIMIT, worst / 4))
        self._good = self._given | {name for name, far in self._far.items() if far <= self._tolerance}

    def suspects(self, wrong: Sequence[str]) -> list[int]:
        """The nodes between the good tensors and the wrong outputs, in the graph's order."""
        producers = {name: place for place, node in enumerate(self._nodes) for name in node.output}
        found: set[int] = set()
        waiting = list(wrong)
        while waiting:
            name = waiting.pop()
            place = producers.get(name)
            if (name in self._good and name not in wrong) or place is None or place in found:
                continue
            found.add(place)
            waiting += [name for name in self._nodes[place].input if name]
        return sorted(found)

    def front(self, suspects: Sequence[int]) -> list[int]:
        """The suspect nodes that compute floats from good tensors and constants alone."""
        floats = [place for place in suspects if any(name in self._far for name in self._nodes[place].output)]
        made = {name for place in floats for name in self._nodes[place].output}
        return [place for place in floats if not (made - self._good) & set(self._nodes[place].input)]

    def guilty(self, suspects: Sequence[int]) -> int | None:
        """The number of the record where the framework first computes what the graph does not."""
        suspected = {self.tags[place] for place in suspects}
        clean: list[bool] = []
        for number, one in enumerate(self._records):
            right = self._found.get(number, math.inf) <= self._tolerance or not one.telling
            reached = all(clean[other] for other in one.inputs)
            if not right and reached and one.layer in suspected:
                return number
            clean.append(right or reached)
        return None


def explain(
    graph: onnx.ModelProto,
    case: str,
    feeds: dict[str, Array],
    expected: Golden,
    records: Sequence[Record],
    steps: Mapping[str, Array],
    parameters: Mapping[str, str],
) -> Explanation:
    """Name the layer at which the graph leaves the original on `feeds`.

    `expected` holds the original's float64 answer and the floors; `steps` the tensors of the whole pipeline in
    float64, by name; `parameters` the framework's parameters that the graph holds otherwise, and how. Raises
    NotEvaluated where the graph cannot be computed.
    """
    described = {name: _step(name, value) for name, value in steps.items() if value.dtype.kind == "f"}
    walk = Walk(graph, records, described)
    answers = NumpyGraph(graph).run(feeds, walk.see)
    found = worst_multiple(expected, {name: plain(value) for name, value in answers.items()})
    wrong = [name for name, far in found.items() if far > MEANING_LIMIT]
    named = _of_parameter(parameters, walk)
    if not wrong and named is None:
        detail = "in float64 the graph computes what the original does: the difference arises in the runtime, or in "
        return Explanation(case=case, detail=f"{detail}the rounding of float32", curve=walk.curve)
    walk.judge(max(found.values()))
    suspects = walk.suspects(wrong)
    number = walk.guilty(suspects)
    record = records[number] if number is not None else None
    front = walk.front(suspects)
    layer = named
    if layer is None and suspects:
        reached = [walk.tags[place] for place in front]
        layer = record.layer if record is not None and record.layer in reached else walk.tags[(front or suspects)[0]]
    at = [place for place in suspects if walk.tags[place] == layer]
    own = record if record is not None and record.layer == layer else None
    lines = (note_of(graph.graph.node[place], SOURCE) for place in at)
    parts = Explanation(
        case=case,
        layer=layer,
        kind=own.kind if own else "",
        operation=own.operation if own else "",
        source=(own.source if own else "") or next((line for line in lines if line), ""),
        nodes=[_name(graph.graph.node[place]) for place in (at or suspects)[:_SHOWN]],
        multiple=walk.nearest.get(number, math.inf) if own and number is not None else math.inf,
        parameters={name: how for name, how in parameters.items() if _owner(name, walk) == layer},
        detail="",
        curve=walk.curve,
    )
    return msgspec.structs.replace(parts, detail=_told(parts))


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
    return Record(f"processing.{name}", "", "", "", value.size, thinned(value.astype(np.float64)), ())


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


def _owner(parameter: str, walk: Walk) -> str | None:
    """The layer that a parameter belongs to: `encoder.2.weight` → encoder.2, `model/dense_1/kernel` → dense_1."""
    separator = "/" if "/" in parameter else "."
    parts = parameter.split(separator)[:-1]
    tags = set(walk.tags)
    for end in range(len(parts), 0, -1):
        if (joined := separator.join(parts[:end])) in tags:
            return joined
        if separator == "/" and parts[end - 1] in tags:
            return parts[end - 1]
    return separator.join(parts) if separator == "." else (parts[-1] if parts else "")


def _of_parameter(parameters: Mapping[str, str], walk: Walk) -> str | None:
    owners = {_owner(name, walk) for name in parameters}
    return owners.pop() if len(owners) == 1 else None


def _name(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"


def _told(found: Explanation) -> str:
    layer = "the model's own forward" if found.layer == "" else f"{found.layer}"
    kind = f" ({found.kind})" if found.kind and found.layer else ""
    operation = f", at {found.operation}" if found.operation else ""
    source = f", {found.source}" if found.source else ""
    far = f", {found.multiple:,.0f} of its own noise floors away" if math.isfinite(found.multiple) else ""
    changed = "".join(f"; its parameter {name}: {how}" for name, how in list(found.parameters.items())[:2])
    nodes = f"; node {', '.join(found.nodes[:3])}" if found.nodes else ""
    if found.layer is None:
        return f"no layer could be named{nodes}"
    return f"first differs at {layer}{kind}{operation}{source}{far}{changed}{nodes}"

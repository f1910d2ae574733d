"""The graph held against the framework layer by layer in float64, and its constants against the parameters.

A weak fault that is lost in the noise of an output shouts at its own layer: there the floor is that of one operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.evaluator.numpy_graph import reason
from onnxpress.export.equivalence.layerwise import parameters as initializers
from onnxpress.export.equivalence.layerwise import whole_graph as meaning
from onnxpress.export.equivalence.layerwise.divergence import Walk
from onnxpress.export.equivalence.layerwise.recording import record
from onnxpress.export.equivalence.layerwise.whole_graph import FEW
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Check, Point, multiple
from onnxpress.export.network import Layered

if TYPE_CHECKING:
    import onnx

_MOST_POINTS = 400
LAYER_LIMIT = 1.5
"""Accepted distance that one layer adds in float64, in its own float32 noise floors: see ADR 0002."""
HALF_LIMIT = 10.0
"""The same in a graph that itself rounds to half precision, which no float64 takes away."""


@dataclass
class Looked:
    """What holding the graph itself against the framework found, beside what it answers."""

    checks: list[Check] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    curve: list[Point] = field(default_factory=list)
    means_the_same: bool = False


def look(
    graph: onnx.ModelProto,
    reference: Reference,
    cases: Sequence[Case],
    goldens: Sequence[Golden],
    truths: Sequence[Mapping[str, Array]],
    narrow: Sequence[Mapping[str, float]],
    parameters: Mapping[str, Array],
) -> Looked:
    """Constants, the whole graph and its layers, as far as each can be compared; `narrow` as in meaning.compare."""
    found = Looked(*initializers.check(graph, parameters, reference.processing))
    walks, no_layers = _walks(graph, reference, cases, truths)
    said = meaning.compare(graph, cases, goldens, truths, narrow, walks)
    if said.check is None:
        found.not_measured.append(said.why_not)
        return found
    found.checks.append(said.check)
    found.means_the_same = said.check.passed
    if walks:
        check, found.curve = _judged(walks)
        found.checks.append(check)
        found.not_measured.clear()  # parameters that were folded into others were measured as the layers' answers
    else:
        found.not_measured.append(no_layers)
    if said.why_not:
        found.not_measured.append(said.why_not)
    return found


def _walks(
    graph: onnx.ModelProto, reference: Reference, cases: Sequence[Case], truths: Sequence[Mapping[str, Array]]
) -> tuple[dict[int, Walk], str]:
    """For a case of real rows and one of generated ones: the framework's layers on it. Else why there are none."""
    if not isinstance(reference.network, Layered):
        return {}, "the layers one by one: this kind of source does not show what its layers compute"
    if not truths:
        return {}, "the layers one by one: they cannot be computed in float64"
    found: dict[int, Walk] = {}
    for kind in ("samples", "generated"):
        number = next((n for n, case in enumerate(cases) if case.kind == kind and case.batch == FEW), None)
        if number is None:
            continue
        try:
            feeds = cases[number].feeds
            wide = reference.network_feeds(feeds, "float64")
            records = record(reference.network, reference.network_feeds(feeds), wide)
        except Exception as error:  # any code of the author's, watched as it runs
            return {}, f"the layers one by one: {reason(error)}"
        found[number] = Walk(graph, records, truths[number])
    return found, ""


def _judged(walks: Mapping[int, Walk]) -> tuple[Check, list[Point]]:
    """Whether some layer adds more than rounding, once the graph was walked; and the divergence along the graph."""
    limits = [HALF_LIMIT if walk.narrow else LAYER_LIMIT for walk in walks.values()]
    found = [(*walk.drift(limit), walk) for walk, limit in zip(walks.values(), limits, strict=True)]
    worst, first, walk = max(found, key=lambda one: one[0])
    detail = f"{walk.compared} tensors of layers are in the graph; in float64 none adds more than {multiple(worst)} of "
    detail += "its own noise floors"
    if first is not None:
        one = walk.records[first]
        detail = f"{one.layer or 'the model itself'} adds {multiple(worst)} of its own noise floors"
    return Check(name="layers", passed=first is None, detail=detail), thinned_curve(walk.curve())


def thinned_curve(curve: Sequence[Point]) -> list[Point]:
    """At most 400 points: of neighbouring ones the worst."""
    size = -(-len(curve) // _MOST_POINTS) or 1
    buckets = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [max(bucket, key=lambda point: point.multiple) for bucket in buckets]

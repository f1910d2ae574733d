"""The graph held against the framework layer by layer in float64, and its constants against the parameters.

A weak fault that is lost in the noise of an output shouts at its own layer: there the floor is that of one operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.evaluator.numpy_graph import reason
from onnxpress.export.equivalence.layerwise import whole_graph
from onnxpress.export.equivalence.layerwise.divergence import Divergence
from onnxpress.export.equivalence.layerwise.parameters import check as check_parameters
from onnxpress.export.equivalence.layerwise.recording import Record, record
from onnxpress.export.equivalence.layerwise.whole_graph import FEW
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Check, Point, multiple
from onnxpress.export.equivalence.results import CaseResult
from onnxpress.export.network import Layered

if TYPE_CHECKING:
    import onnx

_MOST_POINTS = 400
LAYER_LIMIT = 1.5
"""Accepted distance that one layer adds in float64, in its own float32 noise floors: see ADR 0002."""
HALF_LIMIT = 10.0
"""The same in a graph that itself rounds to half precision, which no float64 takes away: see ADR 0002."""


@dataclass(frozen=True)
class Watched:
    """What the framework's layers compute, by the name of the case; or why that is not known."""

    records: Mapping[str, list[Record]] = field(default_factory=dict)
    why_not: str = ""


@dataclass
class GraphFindings:
    """What holding the graph itself against the framework found, beside what it answers."""

    checks: list[Check] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    curve: list[Point] = field(default_factory=list)
    means_the_same: bool = False
    watched: Watched = field(default_factory=Watched)
    """what the framework's layers computed, to look at another graph with"""


def examine(
    graph: onnx.ModelProto,
    reference: Reference,
    results: Sequence[CaseResult],
    parameters: Mapping[str, Array],
    watched: Watched | None = None,
) -> GraphFindings:
    """Constants, the whole graph and its layers, as far as each can be compared.

    `watched` are the layers on cases among `results`, where an earlier look at the same original has found them.
    """
    findings = GraphFindings(*check_parameters(graph, parameters, reference.processing))
    findings.watched = watch(reference, results) if watched is None else watched
    divergences = {
        result.case.name: Divergence(graph, findings.watched.records[result.case.name], result.truth)
        for result in results
        if result.case.name in findings.watched.records and result.truth is not None
    }
    verdict = whole_graph.compare(graph, results, divergences)
    if verdict.check is None:
        findings.not_measured.append(verdict.why_not)
        return findings
    findings.checks.append(verdict.check)
    findings.means_the_same = verdict.check.passed
    if divergences:
        check, findings.curve = _judged(list(divergences.values()))
        findings.checks.append(check)
        findings.not_measured.clear()  # parameters that were folded into others were measured as the layers' answers
    else:
        findings.not_measured.append(findings.watched.why_not)
    if verdict.why_not:
        findings.not_measured.append(verdict.why_not)
    return findings


def watch(reference: Reference, results: Sequence[CaseResult]) -> Watched:
    """For a case of real rows and one of generated ones: the framework's layers on it. Else why there are none."""
    if not isinstance(reference.network, Layered):
        return Watched(why_not="the layers one by one: this kind of source does not show what its layers compute")
    records: dict[str, list[Record]] = {}
    for kind in ("samples", "generated"):
        result = next((one for one in results if one.case.kind == kind and one.case.batch == FEW), None)
        if result is None:
            continue
        if result.truth is None:
            return Watched(why_not="the layers one by one: they cannot be computed in float64")
        try:
            feeds = result.case.feeds
            wide = reference.network_feeds(feeds, "float64")
            records[result.case.name] = record(reference.network, reference.network_feeds(feeds), wide)
        except Exception as error:  # any code of the author's, watched as it runs
            return Watched(why_not=f"the layers one by one: {reason(error)}")
    return Watched(records)


def _judged(divergences: Sequence[Divergence]) -> tuple[Check, list[Point]]:
    """Whether some layer adds more than rounding, once the graph was seen; and the divergence along the graph."""
    drifts = [(*one.drift(HALF_LIMIT if one.rounds_to_half else LAYER_LIMIT), one) for one in divergences]
    worst, first, divergence = max(drifts, key=lambda drift: drift[0])
    detail = f"{divergence.compared} tensors of layers are in the graph; in float64 none adds more than "
    detail += f"{multiple(worst)} of its own noise floors"
    if first is not None:
        one = divergence.records[first]
        detail = f"{one.layer or 'the model itself'} adds {multiple(worst)} of its own noise floors"
    return Check(name="layers", passed=first is None, detail=detail), thinned_curve(divergence.curve())


def thinned_curve(curve: Sequence[Point]) -> list[Point]:
    """At most 400 points: of neighbouring ones the worst."""
    size = -(-len(curve) // _MOST_POINTS) or 1
    buckets = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [max(bucket, key=lambda point: point.multiple) for bucket in buckets]

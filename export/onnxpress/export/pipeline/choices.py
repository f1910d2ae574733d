"""A refused export that chooses among scores: with exact scores, and without the cases that a tie decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onnxpress.core import domains
from onnxpress.core.arrays import Array
from onnxpress.core.golden import LIMIT
from onnxpress.core.tensors import FLOATS
from onnxpress.export.equivalence.answerable import answers
from onnxpress.export.equivalence.cases import Case, generate
from onnxpress.export.equivalence.report.schema import Check
from onnxpress.export.equivalence.ties import marked, share_left, tied
from onnxpress.export.graph import external_data
from onnxpress.export.graph.exact_sigmoids import exactly_scored, sigmoids
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.prepare import Prepared

_LEAST = 0.05
"""of an output's elements that must be left to compare"""
_SMALL = 1e-4
"""of a sigmoid: the runtime's own, exact to 6e-8, is a thousandth off there"""
_SOFTER = (0.3, 0.1, 0.03, 0.01)
"""of the ordinary scale: scores that saturate there may be told apart here"""
_SOFTER_BATCH = 7


def with_exact_scores(prepared: Prepared, converted: Converted) -> tuple[Prepared, Converted] | None:
    """Both with the sigmoids written out from which the graph chooses, and a check that tells it; None for no such."""
    told = "sigmoids that are chosen from are written as 1 / (1 + exp(-x)): the runtime's own mixes up small scores"
    return _written_out(prepared, converted, None, told)


def with_exact_answers(prepared: Prepared, converted: Converted) -> tuple[Prepared, Converted] | None:
    """Both with the sigmoids written out whose answers to ordinary rows are as small as the runtime's own error."""
    outputs = [value.name for value in converted.graph.graph.output]
    if external_data.is_beside(converted.graph) or not sigmoids(converted.graph, outputs):
        return None
    ordinary = [case for case in prepared.cases if case.kind == prepared.cases[0].kind]
    answered = prepared.reference.run(max(ordinary, key=lambda case: case.batch).feeds)
    small = [name for name, value in answered.items() if value.dtype.kind == "f" and _is_small(value)]
    told = f"sigmoids are written as 1 / (1 + exp(-x)), where the runtime's own is inexact: {', '.join(small)}"
    return _written_out(prepared, converted, small, told)


def _written_out(
    prepared: Prepared, converted: Converted, outputs: list[str] | None, told: str
) -> tuple[Prepared, Converted] | None:
    graph = None if external_data.is_beside(converted.graph) else exactly_scored(converted.graph, outputs)
    if graph is None:
        return None
    checks = [*prepared.checks, Check(name="scores", passed=True, detail=told)]
    return replace(prepared, checks=checks), replace(converted, graph=graph)


def _is_small(value: Array) -> bool:
    """Whether scores between 0 and 1 come near to what the runtime's sigmoid errs by."""
    return bool(value.size and value.min() >= 0 and value.max() <= 1 and value.min() < _SMALL)


def without_ties(prepared: Prepared, converted: Converted) -> Prepared | None:
    """`prepared` without the far cases in which equal scores are chosen from, and without the elements of the others
    that scores within the noise decide; and checks that tell both.

    Where these are nearly all of an output, smaller values are asked besides. None where there are none, or where too
    little would be left to compare.
    """
    if external_data.is_beside(converted.graph):
        return None
    found = tied(converted.graph, prepared.cases)
    kept = marked(prepared.reference, [case for case in prepared.cases if case.name not in found], LIMIT)
    left = share_left(kept, prepared.reference)
    if any(share < _LEAST for share in left.values()):
        kept += marked(prepared.reference, _softer(prepared), LIMIT)
        left = share_left(kept, prepared.reference)
    if not kept or not (found or left) or any(share < _LEAST for share in left.values()):
        return None
    told = []
    if found:
        listed = "; ".join(f"{name}, at {node}" for name, node in found.items())
        told.append(f"left out, as equal scores are chosen from: {listed}")
    if left:
        listed = ", ".join(f"{1 - share:.1%} of {name}" for name, share in left.items())
        told.append(f"not compared, as the original chooses there between scores that rounding exchanges: {listed}")
    checks = [Check(name="ties", passed=True, detail=detail) for detail in told]
    return replace(prepared, cases=kept, checks=[*prepared.checks, *checks])


def _softer(prepared: Prepared) -> list[Case]:
    """Generated rows whose floats are smaller, as far as the original answers them."""
    generator, found = np.random.default_rng(0), []
    for scale in _SOFTER:
        feeds = generate(prepared.inputs, prepared.samples, {"batch": _SOFTER_BATCH}, generator)
        for spec in prepared.inputs:
            if spec.dtype in FLOATS:
                feeds[spec.name] = (feeds[spec.name] * scale).astype(feeds[spec.name].dtype)
        feeds = domains.inside(prepared.inputs, feeds)
        found.append(Case("wider", _SOFTER_BATCH, feeds, about=f"{scale:g} times"))
    return [case for case in found if answers(prepared.reference, case)]

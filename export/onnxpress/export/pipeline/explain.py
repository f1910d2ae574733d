"""Why an export is refused: the smallest case that shows it, and the layer where graph and original part."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from onnxpress.core.errors import OnnxpressError
from onnxpress.core.golden import Golden
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated
from onnxpress.export.equivalence.layerwise import parameters
from onnxpress.export.equivalence.layerwise.bisection import explain
from onnxpress.export.equivalence.layerwise.comparison import thinned_curve
from onnxpress.export.equivalence.layerwise.recording import record
from onnxpress.export.equivalence.layerwise.whole_graph import plain
from onnxpress.export.equivalence.noise_floor import reference_results
from onnxpress.export.equivalence.report.schema import Explanation, Point, Report
from onnxpress.export.network import Layered, TruthUnavailable
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.prepare import Prepared

_IN_FLOAT64 = ("parameters", "meaning", "layers")
"""checks that compare the graph itself, without the runtime's rounding"""
_TRIES = 3
"""cases, each of another kind: a fault that one input hides, another shows"""


def explained(prepared: Prepared, converted: Converted, report: Report) -> Report:
    """The report with its explanation; never raises, as there is a refusal to be told in any case."""
    explanation: Explanation | None = None
    curve = report.curve
    for case in _telling(prepared.cases, report):
        try:
            explanation, curve = _explain(prepared, converted, case, report.limit)
        except (NotEvaluated, OnnxpressError, TruthUnavailable) as error:
            what = error.what if isinstance(error, OnnxpressError) else str(error)
            return msgspec.structs.replace(report, explanation=Explanation(case=case.name, detail=f"no layer: {what}"))
        if explanation.layer is not None:
            break
    explanation = _not_against(report, explanation)
    return msgspec.structs.replace(report, explanation=explanation, curve=thinned_curve(curve))


def _not_against(report: Report, explanation: Explanation | None) -> Explanation | None:
    """The explanation; where none names a layer though a check failed in float64, it says no more than that."""
    failed = [check.name for check in report.checks if not check.passed and check.name in _IN_FLOAT64]
    if explanation is None or explanation.layer is not None or not failed:
        return explanation
    detail = f"no layer: on this input both agree in float64, on others they do not ({', '.join(failed)})"
    return msgspec.structs.replace(explanation, detail=detail)


def _explain(prepared: Prepared, converted: Converted, case: Case, limit: float) -> tuple[Explanation, list[Point]]:
    reference, network = prepared.reference, prepared.network
    (result,), _ = reference_results(reference, [case], converted.outputs, limit)
    golden = result.golden
    truth = reference.run(case.feeds) if result.truth is None else result.truth
    expected = Golden(golden.inputs, {name: plain(truth[name]) for name in golden.outputs}, golden.floors)
    narrow, wide = reference.network_feeds(case.feeds), reference.network_feeds(case.feeds, "float64")
    records = record(network, narrow, wide) if isinstance(network, Layered) else []
    changed = parameters.compare(converted.graph, network.parameters()).changed
    changed |= parameters.processing_constants(converted.graph, reference.processing)
    return explain(converted.graph, case.name, case.feeds, expected, records, truth, changed)


def _telling(cases: list[Case], report: Report) -> list[Case]:
    """The cases to look into: first those that are refused, the smallest of them first; then the worst of each kind."""
    worst = {figure.name: max(figure.multiples.values(), default=0.0) for figure in report.cases}

    def size(case: Case) -> tuple[bool, int]:
        # A lone row last: over an axis of one element much is the same by chance.
        return case.batch == 1, sum(int(np.prod(value.shape)) for value in case.feeds.values())

    failing = sorted((case for case in cases if not worst.get(case.name, math.inf) <= report.limit), key=size)
    others = sorted((case for case in cases if case not in failing), key=lambda case: -worst.get(case.name, 0.0))
    chosen: dict[str, Case] = {}
    for case in (*failing, *others):
        chosen.setdefault(case.pool, case)
    return list(chosen.values())[:_TRIES]

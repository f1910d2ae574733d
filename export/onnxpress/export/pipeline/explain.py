"""Why an export is refused: the smallest case that shows it, and the layer where graph and original part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from onnxpress.core.errors import OnnxpressError
from onnxpress.core.golden import Golden
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated
from onnxpress.export.equivalence.layerwise import parameters as initializers
from onnxpress.export.equivalence.layerwise.bisection import explain
from onnxpress.export.equivalence.layerwise.comparison import thinned_curve
from onnxpress.export.equivalence.layerwise.recording import record
from onnxpress.export.equivalence.layerwise.whole_graph import plain
from onnxpress.export.equivalence.noise_floor import golden_cases, widened
from onnxpress.export.equivalence.report.schema import Explanation, Point, Report
from onnxpress.export.network import Layered, TruthUnavailable
from onnxpress.export.pipeline.prepare import Prepared

if TYPE_CHECKING:
    import onnx

_TRIES = 3
"""cases, each of another kind: a fault that one input hides, another shows"""


def explained(prepared: Prepared, graph: onnx.ModelProto, outputs: Sequence[TensorSpec], report: Report) -> Report:
    """The report with its explanation; never raises, as there is a refusal to be told in any case."""
    found: Explanation | None = None
    curve = report.curve
    for case in _telling(prepared.cases, report):
        try:
            found, curve = _explain(prepared, graph, outputs, case, report.limit)
        except (NotEvaluated, OnnxpressError, TruthUnavailable) as error:
            what = error.what if isinstance(error, OnnxpressError) else str(error)
            return msgspec.structs.replace(report, explanation=Explanation(case=case.name, detail=f"no layer: {what}"))
        if found.layer is not None:
            break
    return msgspec.structs.replace(report, explanation=found, curve=thinned_curve(curve))


def _explain(
    prepared: Prepared, graph: onnx.ModelProto, outputs: Sequence[TensorSpec], case: Case, limit: float
) -> tuple[Explanation, list[Point]]:
    reference, network = prepared.reference, prepared.network
    (golden,), method, _ = golden_cases(reference, [case], outputs, limit)
    truth = reference.run(widened(case.feeds), "float64") if method == "float64" else reference.run(case.feeds)
    expected = Golden(golden.inputs, {name: plain(truth[name]) for name in golden.outputs}, golden.floors)
    narrow, wide = reference.network_feeds(case.feeds), reference.network_feeds(case.feeds, "float64")
    records = record(network, narrow, wide) if isinstance(network, Layered) else []
    changed = initializers.compare(graph, network.parameters()).changed
    changed |= initializers.processing_constants(graph, reference.processing)
    return explain(graph, case.name, case.feeds, expected, records, truth, changed)


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
        chosen.setdefault(case.kind, case)
    return list(chosen.values())[:_TRIES]

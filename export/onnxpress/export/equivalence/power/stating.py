"""The step after a measurement that passed: it says how good its questions were, and asks more where they were poor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.evaluator.numpy_graph import reason
from onnxpress.export.equivalence.measurement import Measurement, joined
from onnxpress.export.equivalence.power.budget import Budget
from onnxpress.export.equivalence.power.planting import Original, Planting
from onnxpress.export.equivalence.report.schema import Power

if TYPE_CHECKING:
    import onnx

SHARE_OF_TIME = 0.3
"""of the processor's seconds that the measuring took, for planting and for more questions together"""
LARGEST_SHARE = 0.5
"""the same, as long as not even a few faults are planted"""
LEAST_SECONDS = 0.06
"""that are given in any case: half of what a tiny network takes would be too little to plant anything"""
LARGEST = 500_000_000
"""bytes of a graph; a trial holds five times as many"""
TOO_LARGE = "the graph is too large to be copied for each fault"
_FOR_QUESTIONS = 0.4
"""of that; kept while faults are planted and some survive"""
_LOOKING = 0.25
"""of what one case takes in all: computing it in numpy"""
_AS_LOADING = 2
"""cases that take as long as what comes before the first"""
_ROUNDS = 3


def stated(
    measurement: Measurement,
    graph: onnx.ModelProto,
    original: Original,
    outputs: Sequence[TensorSpec],
    ask: Callable[[list[Case]], Measurement],
    *,
    measuring_s: float,
    question_s: float,
    looks_inside: bool = True,
    clock: Callable[[], float] = time.process_time,
) -> Measurement:
    """The measurement with its power, and with the questions that were asked besides; a refused one as it is.

    `ask` measures more cases on the same rungs; what it finds counts as everything else does, so that the export may be
    refused for it. `measuring_s` are the seconds of `clock` that all of the measuring took, `question_s` those of one
    case in it.
    `looks_inside` is what `ask` tells the measurement: without it only answers show a fault.
    """
    if not measurement.report.equivalent:
        return measurement
    if graph.ByteSize() > LARGEST:
        return without_power(measurement, TOO_LARGE)
    budget = Budget(max(SHARE_OF_TIME * measuring_s, LEAST_SECONDS), clock)
    try:
        inside_s = _LOOKING * question_s * (1 + len(measurement.watched.records)) if looks_inside else 0.0
        planting = Planting(graph, original, measurement, budget, inside_s=inside_s, looks_inside=looks_inside)
        over = max(LARGEST_SHARE * measuring_s - budget.seconds, 0.0)
        planting.plant(seconds_kept=_FOR_QUESTIONS * budget.seconds, over=over)
        questions = planting.questions()
    except Exception as error:  # graphs of all converters: what trips the planting is told, and costs nobody the export
        return without_power(measurement, f"planting failed: {reason(error)}")
    for _ in range(_ROUNDS):
        while questions and not budget.allows(question_s * (len(questions) + _AS_LOADING)):
            questions.pop()
        if not questions:
            break
        more = ask(questions)
        measurement = joined(measurement, more, outputs)
        if not more.report.equivalent:
            break
        planting.asked(more)
        questions = planting.questions()
    return _with(measurement, planting.power if measurement.report.equivalent else None)


def without_power(measurement: Measurement, why: str) -> Measurement:
    """The measurement where no fault is planted, with the reason in its report; a refused one as it is."""
    return _with(measurement, Power(why_not=why)) if measurement.report.equivalent else measurement


def _with(measurement: Measurement, power: Power | None) -> Measurement:
    report = msgspec.structs.replace(measurement.report, power=power)
    return Measurement(report, measurement.goldens, measurement.results, measurement.watched)

"""What a planted fault really does, and what each checker says of it."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.faults.subjects import Subject
from onnxpress.core.arrays import Array
from onnxpress.core.golden import LIMIT, Golden, worst_multiple
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.tensors import FLOATS
from onnxpress.export.equivalence.cases import Case, cases, generate
from onnxpress.export.equivalence.graph_domain import shown
from onnxpress.export.equivalence.measurement import Measurement, measure
from onnxpress.export.equivalence.noise_floor import reference_results
from onnxpress.export.equivalence.power.planting import Original
from onnxpress.export.equivalence.power.stating import stated
from onnxpress.export.equivalence.report.schema import Report
from onnxpress.export.network import Layered
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.explain import explained
from onnxpress.serving.engine import Engine

_SEARCH_SEEDS = (11, 12, 13, 14)
"""of the inputs that the truth is searched on; the checkers draw from another"""
MEASURING_S = 0.4
"""of the processor, that the export stage takes for such models: here the original answers from memory"""


@dataclass
class Search:
    """A sound graph's own answers on many inputs, with the noise floor of each: what faults are held against."""

    cases: list[Case]
    goldens: list[Golden]


def loaded(proto: onnx.ModelProto, optimization: str = "all") -> Engine:
    """The graph in the serving engine. Raises what the engine raises for a graph that cannot be loaded."""
    return Engine.load(
        proto.SerializeToString(),
        settings=SessionSettings(optimization=optimization),  # type: ignore[arg-type]
        self_test=False,
    )


def search(subject: Subject) -> Search:
    """Inputs of four seeds with the sound graph's answers, its optimisations off."""
    prepared = subject.prepared
    sound = loaded(subject.proto, "none")
    found, goldens = [], []
    for seed in _SEARCH_SEEDS:
        # Not the rows beside a tree's splits: those are the same for every seed, and a checker asks them.
        known = replace(shown(subject.proto), rows={})
        for case in cases(prepared.inputs, subject.shown, seed, shown=known):
            with contextlib.suppress(Exception):  # sizes that the original itself refuses
                (result,), _ = reference_results(prepared.reference, [case], subject.outputs, LIMIT)
                goldens.append(Golden(case.feeds, sound.run(case.feeds), result.golden.floors))
                found.append(case)
    return Search(found, goldens)


def truth(sought: Search, faulty: onnx.ModelProto) -> float:
    """The worst change of any output on any input, in noise floors; NaN where the graph does not load.

    A run that fails, and an answer of another shape, are infinitely far.
    """
    try:
        engine = loaded(faulty, "none")
    except Exception:
        return math.nan
    worst = 0.0
    for case, golden in zip(sought.cases, sought.goldens, strict=True):
        try:
            worst = max(worst, *worst_multiple(golden, engine.run(case.feeds)).values())
        except Exception:
            return math.inf
    return worst


def ours(subject: Subject, proto: onnx.ModelProto) -> Report | None:
    """The export stage's measurement of the graph, with the questions that it makes where planted faults survive.

    None where it cannot be run, which the stage refuses too.
    """
    prepared = subject.prepared
    parameters = prepared.network.parameters()
    try:
        rungs = {"off": loaded(proto, "none"), "as served": loaded(proto)}

        def measured(chosen: list[Case]) -> Measurement:
            return measure(
                prepared.reference,
                rungs,
                chosen,
                subject.outputs,
                served="as served",
                graph=proto,
                parameters=parameters,
            )

        original = Original(prepared.reference, prepared.inputs, prepared.samples, parameters)
        found = stated(
            measured(prepared.cases),
            proto,
            original,
            subject.outputs,
            measured,
            measuring_s=MEASURING_S,
            question_s=MEASURING_S / 100,
        )
    except Exception:
        return None
    return found.report


def refused(report: Report | None) -> bool:
    """Whether nothing would be published."""
    return report is None or not report.equivalent


def has_layers(subject: Subject) -> bool:
    """Whether the source shows what its layers compute; a scikit-learn estimator does not."""
    return isinstance(subject.prepared.network, Layered)


def named(subject: Subject, proto: onnx.ModelProto, report: Report | None) -> str | None:
    """The layer that the explanation of a refusal names; None where it names none."""
    if report is None:
        return None
    found = explained(subject.prepared, Converted(proto, subject.outputs, Path()), report).explanation
    return None if found is None else found.layer


def others(subject: Subject) -> dict[str, Callable[[onnx.ModelProto], bool]]:
    """The rules of others on one random input: checker → whether it refuses a graph.

    torch.onnx.export(verify=True), 2.13: an absolute difference of 5e-3 or a relative one of 1e-1. Polygraphy's
    CompareFunc.simple: an element with an absolute and a relative difference above 1e-5, on values in [0, 1).
    """
    prepared = subject.prepared
    generator = np.random.default_rng(5)
    drawn = generate(prepared.inputs, prepared.samples, {"batch": 3}, generator)
    unit = dict(drawn)
    for spec in prepared.inputs:
        if spec.dtype in FLOATS:
            unit[spec.name] = generator.random(drawn[spec.name].shape).astype(spec.dtype)
    return {
        "torch verify=True": lambda proto: _differs(subject, proto, drawn, _torch),
        "np.allclose 1e-3": lambda proto: _differs(subject, proto, drawn, lambda a, b: not _close(a, b, 1e-3)),
        "np.allclose 1e-5": lambda proto: _differs(subject, proto, drawn, lambda a, b: not _close(a, b, 1e-5)),
        "Polygraphy": lambda proto: _differs(subject, proto, unit, _polygraphy),
    }


def _differs(
    subject: Subject, proto: onnx.ModelProto, feeds: dict[str, Array], differs: Callable[[Array, Array], bool]
) -> bool:
    expected = subject.prepared.reference.run(feeds)
    try:
        found = loaded(proto).run(feeds)
    except Exception:
        return True
    for spec in subject.outputs:
        value, other = expected[spec.name], found[spec.name]
        if other.shape != value.shape:
            return True
        if value.dtype.kind not in "fc":
            if value.tolist() != other.tolist():
                return True
        elif differs(other.astype(np.float64), value.astype(np.float64)):
            return True
    return False


def _close(found: Array, expected: Array, tolerance: float) -> bool:
    return bool(np.allclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True))


def _torch(found: Array, expected: Array) -> bool:
    difference = np.abs(found - expected)
    return bool((difference >= 5e-3).any() or (difference / (np.abs(expected) + 1e-7) >= 1e-1).any())


def _polygraphy(found: Array, expected: Array) -> bool:
    difference = np.abs(found - expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        return bool(((difference > 1e-5) & (difference / np.abs(expected) > 1e-5)).any())


def quietly(function: Callable[[], Any]) -> Any:
    """The result, without what is said on stderr meanwhile."""
    with contextlib.redirect_stderr(io.StringIO()):
        return function()

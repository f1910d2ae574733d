"""Does the graph mean what the framework computes? Both in float64, where rounding no longer hides a small fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.golden import Golden, worst_multiple
from onnxpress.export.equivalence.inputs import Case
from onnxpress.export.equivalence.noise_floor import pool
from onnxpress.export.equivalence.numpy_graph import NotEvaluated, NumpyGraph
from onnxpress.export.equivalence.report import Check, multiple

if TYPE_CHECKING:
    import onnx

Array = np.ndarray[Any, np.dtype[Any]]
MEANING_LIMIT = 2.0
"""Accepted distance between graph and framework in float64, in the float32 noise floors of each output.

Sound exports of the corpus were seen up to 1.3, on two seeds.

Not zero: a graph holds its constants in float32, where the framework's float64 twin has Python's numbers.
"""


@dataclass(frozen=True)
class Meaning:
    """What the comparison found. `worst` is None where it could not be made; `why_not` then says why."""

    worst: float | None = None
    check: Check | None = None
    why_not: str = ""


def compare(
    graph: onnx.ModelProto, cases: Sequence[Case], goldens: Sequence[Golden], truths: Sequence[Mapping[str, Array]]
) -> Meaning:
    """Hold the graph in float64 against the framework's float64 answers, in the goldens' noise floors."""
    if not truths:
        return Meaning(why_not="the graph in float64: the framework's float64 answers are not available")
    worst, where = 0.0, ""
    try:
        evaluated = NumpyGraph(graph)
        for case, golden, truth in zip(cases, goldens, truths, strict=True):
            answers = {name: plain(value) for name, value in evaluated.run(case.feeds).items()}
            expected = {name: plain(truth[name]) for name in golden.outputs}
            found = worst_multiple(Golden(golden.inputs, expected, golden.floors), answers)
            name = max(found, key=lambda key: found[key])
            if found[name] > worst or not where:
                worst, where = found[name], f"{name}, {case.name}"
    except NotEvaluated as reason:
        return Meaning(why_not=f"the graph in float64: {reason}")
    detail = f"the graph in float64 is {multiple(worst)} noise floors from the framework in float64 ({where})"
    return Meaning(worst, Check(name="meaning", passed=worst <= MEANING_LIMIT, detail=detail))


def widened(graph: onnx.ModelProto, cases: Sequence[Case], goldens: Sequence[Golden]) -> list[Golden]:
    """The goldens with noise floors not below the graph's own rounding: float32 against float64, both in numpy.

    A framework may be more exact than float32 arithmetic is (torch sums a cumsum in double); an ill-conditioned graph
    that means the same must not be refused for that. Raises NotEvaluated.
    """
    narrow_graph, wide_graph = NumpyGraph(graph, np.float32), NumpyGraph(graph)
    narrow = [narrow_graph.run(case.feeds) for case in cases]
    wide = [wide_graph.run(case.feeds) for case in cases]
    floors = [dict(golden.floors) for golden in goldens]
    for kind in dict.fromkeys(case.kind for case in cases):
        members = [number for number, case in enumerate(cases) if case.kind == kind]
        for name in goldens[0].outputs:
            if any(goldens[n].outputs[name].dtype.kind != "f" for n in members):
                continue
            pooled = pool([narrow[n][name] for n in members], [wide[n][name] for n in members])
            for number, floor in zip(members, pooled, strict=True):
                floors[number][name] = np.maximum(floors[number][name], floor)
    return [Golden(golden.inputs, golden.outputs, own) for golden, own in zip(goldens, floors, strict=True)]


def plain(value: Array) -> Array:
    """Floats of any width as float64, strings of any form as objects: dtypes are the runtime's to answer for."""
    if value.dtype.kind in "US":
        return value.astype(object)
    return value.astype(np.float64) if value.dtype.kind in "fV" else value

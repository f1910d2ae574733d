"""A report says how many small faults its questions would have shown, and asks more where they were poor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx")
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxpress.core.manifest import SessionSettings
from onnxpress.core.processing import Processing
from onnxpress.core.tensors import parse_spec
from onnxpress.export.equivalence.cases import Case, cases
from onnxpress.export.equivalence.measurement import Measurement, measure
from onnxpress.export.equivalence.power.budget import Budget
from onnxpress.export.equivalence.power.planting import FEW, NO_PLACE, NO_TIME, Original, Planting
from onnxpress.export.equivalence.power.stating import SHARE_OF_TIME, stated, without_power
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Power
from onnxpress.export.equivalence.runtime.rungs import EnginePool

WIDTH = 6
BOUND = 40.0
INPUTS = [parse_spec(f"x:float32[batch,{WIDTH}]")]
OUTPUTS = [parse_spec(f"y:float32[batch,{WIDTH}]")]
WEIGHT = np.random.default_rng(3).standard_normal((WIDTH, WIDTH)).astype(np.float32)
BIAS = np.random.default_rng(4).standard_normal(WIDTH).astype(np.float32)


class Network:
    """tanh(x W / 20 + b); where x is above 40, the same with another sign."""

    framework_version = converter = "numpy"
    inputs = INPUTS
    output_names = ("y",)
    notes: tuple[str, ...] = ()

    def run(self, feeds: dict[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
        x = feeds["x"].astype(precision)
        h = np.tanh(x @ WEIGHT.astype(precision) * np.float32(0.05).astype(precision) + BIAS.astype(precision))
        return {"y": np.where(x > BOUND, -h, h)}


def graph(bound: float = BOUND, *, identity: bool = False) -> onnx.ModelProto:
    """The network's, or `y = x` with nothing in it to change."""
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"]),
        helper.make_node("Mul", ["product", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["shifted"]),
        helper.make_node("Tanh", ["shifted"], ["h"]),
        helper.make_node("Neg", ["h"], ["turned"]),
        helper.make_node("Greater", ["x", "bound"], ["mask"]),
        helper.make_node("Where", ["mask", "turned", "h"], ["y"]),
    ]
    constants = {"weight": WEIGHT, "scale": np.float32(0.05), "bias": BIAS, "bound": np.float32(bound)}
    made = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])] if identity else nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])],
        [] if identity else [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


class Identical(Network):
    """y = x."""

    def run(self, feeds: dict[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
        return {"y": feeds["x"].astype(precision)}


def poor() -> list[Case]:
    """Nothing but zeros is asked."""
    return [Case("generated", 3, {"x": np.zeros((3, WIDTH), np.float32)})]


class Clock:
    """Every look at it takes so long."""

    def __init__(self, step: float) -> None:
        self.time, self._step = 0.0, step

    def __call__(self) -> float:
        self.time += self._step
        return self.time


def state(
    questions: list[Case],
    model: onnx.ModelProto | None = None,
    *,
    network: Network | None = None,
    measuring_s: float = 20.0,
    clock: Callable[[], float] | None = None,
    asks: bool = True,
    over: float = 0.0,
) -> Measurement:
    model = graph() if model is None else model
    clock = clock or Clock(1e-5)
    reference = Reference(network or Network(), Processing(), INPUTS)  # type: ignore[arg-type]
    rungs = {"served": EnginePool(model.SerializeToString(), "cpu").rung(SessionSettings())}

    def measured(chosen: list[Case]) -> Measurement:
        return measure(reference, rungs, chosen, OUTPUTS, served="served", graph=model)

    first = measured(questions)
    assert first.report.equivalent, first.report
    original = Original(reference, INPUTS, {}, {})
    if not asks:
        planting = Planting(model, original, first, Budget(measuring_s, clock))
        planting.plant(over=over)
        return replace(first, report=msgspec.structs.replace(first.report, power=planting.power))
    return stated(first, model, original, OUTPUTS, measured, measuring_s=measuring_s, question_s=0.001, clock=clock)


def power_of(measurement: Measurement) -> Power:
    assert measurement.report.power is not None
    return measurement.report.power


def test_poor_questions_show_little_and_what_they_miss_is_named() -> None:
    power = power_of(state(poor(), asks=False))
    assert power.planted >= 20
    assert power.shown < 0.8 * power.planted
    kinds = {one.kind for one in power.survivors}
    assert "condition or mask ignored" in kinds
    assert "not " in str(power)
    assert any(one.place in str(power) for one in power.survivors)


def test_good_questions_show_nearly_everything() -> None:
    power = power_of(state(cases(INPUTS, {})))
    assert power.planted >= 30
    assert power.shown >= 0.95 * power.planted
    assert power.strong_shown == power.strong > 0
    assert str(power).startswith(f"these questions would have shown {power.shown} of {power.planted} small faults")


def test_more_is_asked_where_faults_survived() -> None:
    before, after = power_of(state(poor(), asks=False)), state(poor())
    power = power_of(after)
    assert 1 <= power.questions <= 12
    assert power.shown / power.planted > before.shown / before.planted
    assert power.strong_shown == power.strong
    assert len(after.report.cases) == 1 + power.questions
    assert len(after.results) == len(after.report.cases)
    assert all(case.name.startswith("wider ") for case in after.report.cases[1:])


def test_an_export_that_is_wrong_there_is_refused() -> None:
    found = state(poor(), graph(bound=BOUND + 2.0))
    assert not found.report.equivalent
    assert found.report.power is None, "what refuses has nothing to show"
    assert found.report.worst_multiple > found.report.limit


@pytest.mark.parametrize("measuring_s", [0.5, 2.0, 10.0])
def test_the_time_is_held(measuring_s: float) -> None:
    clock = Clock(0.005)
    state(poor(), measuring_s=measuring_s, clock=clock)
    assert clock.time <= SHARE_OF_TIME * measuring_s + 0.1


def test_without_time_it_says_so() -> None:
    power = power_of(state(cases(INPUTS, {}), measuring_s=0.0, clock=Clock(1.0)))
    assert (power.planted, power.shown, power.why_not) == (0, 0, NO_TIME)
    assert "not known" in str(power)


def test_five_are_planted_beyond_the_share_where_more_of_the_time_may_be_taken() -> None:
    def tried(over: float) -> int:
        found = state(cases(INPUTS, {}), asks=False, measuring_s=0.0, clock=Clock(1.0), over=over)
        power = power_of(found)
        return power.planted + power.below + power.without_effect

    assert tried(0.0) == 0
    assert tried(1e6) == FEW


def test_of_a_graph_that_is_too_large_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxpress.export.equivalence.power.stating.LARGEST", 100)
    power = power_of(state(cases(INPUTS, {})))
    assert power.planted == 0
    assert "too large" in str(power)


def test_where_nothing_can_be_planted_no_share_is_claimed() -> None:
    power = power_of(state(cases(INPUTS, {}), graph(identity=True), network=Identical()))
    assert (power.planted, power.shown, power.why_not) == (0, 0, NO_PLACE)
    assert "0 of 0" not in str(power)
    assert NO_PLACE in str(power)


def test_a_weight_that_nothing_uses_is_told_apart() -> None:
    model = graph()
    dead = np.zeros((WIDTH, WIDTH), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(WEIGHT[::-1].copy(), "unused"))
    model.graph.initializer.append(numpy_helper.from_array(dead, "nothing"))
    end = model.graph.node[-1]
    end.output[0] = "alive"
    model.graph.node.extend(
        [
            helper.make_node("MatMul", ["x", "unused"], ["lost"]),
            helper.make_node("MatMul", ["lost", "nothing"], ["zero"]),
            helper.make_node("Add", ["alive", "zero"], ["y"]),
        ]
    )
    power = power_of(state(cases(INPUTS, {}), model))
    assert power.without_effect >= 1
    assert not [one for one in power.survivors if "unused" in one.place]


def test_what_trips_the_planting_costs_nobody_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    def trips(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in a planter")

    monkeypatch.setattr("onnxpress.export.equivalence.power.planting.wider", trips)
    found = state(cases(INPUTS, {}))
    assert found.report.equivalent
    assert power_of(found).why_not == "planting failed: ZeroDivisionError: in a planter"


def test_a_refused_export_keeps_its_report() -> None:
    reference = Reference(Network(), Processing(), INPUTS)  # type: ignore[arg-type]
    rungs = {"served": EnginePool(graph(bound=-1.0).SerializeToString(), "cpu").rung(SessionSettings())}
    refused = measure(reference, rungs, cases(INPUTS, {}), OUTPUTS, served="served")
    assert without_power(refused, "whatever").report.power is None

"""The measurement accepts rounding, refuses faults, and says whether rows may be batched."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from onnxpress.core.golden import Golden
from onnxpress.core.processing import Processing, Threshold
from onnxpress.core.tensors import parse_spec
from onnxpress.export.equivalence.cases import Case, cases
from onnxpress.export.equivalence.measurement import Measurement, choose_goldens, measure
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.results import CaseResult
from onnxpress.export.network import TruthUnavailable

WIDTH = 16
WEIGHT = np.random.default_rng(1).standard_normal((WIDTH, WIDTH))
INPUTS = [parse_spec(f"x:float32[batch,{WIDTH}]")]
OUTPUTS = [parse_spec(f"y:float32[batch,{WIDTH}]")]
Function = Callable[[np.ndarray], dict[str, np.ndarray]]


class NumpyNetwork:
    """tanh(x W), in whatever precision is asked for."""

    framework_version = converter = "numpy"
    inputs = INPUTS
    output_names = ("y",)
    notes: tuple[str, ...] = ()

    def __init__(self, *, float64: bool = True) -> None:
        self._float64 = float64

    def run(self, feeds: dict[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
        if precision == "float64" and not self._float64:
            raise TruthUnavailable("none here")
        x = feeds["x"].astype(precision)
        return {"y": np.tanh(x @ WEIGHT.astype(precision))}


class Export:
    """A stand-in for the engine."""

    def __init__(self, function: Function) -> None:
        self._function = function

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._function(feeds["x"])


def exact(x: np.ndarray) -> dict[str, np.ndarray]:
    """The same, summed in another order: rounding differs, the meaning does not."""
    return {"y": np.tanh((x[:, ::-1] @ WEIGHT[::-1].astype(np.float32)).astype(np.float32))}


def judge(function: Function, *, float64: bool = True) -> Measurement:
    reference = Reference(NumpyNetwork(float64=float64), Processing(), INPUTS)  # type: ignore[arg-type]
    return measure(reference, {"served": Export(function)}, cases(INPUTS, {}), OUTPUTS, served="served")


@pytest.mark.parametrize("float64", [True, False])
def test_another_summation_order_is_equivalent(float64: bool) -> None:
    report = judge(exact, float64=float64).report
    assert report.equivalent, report
    assert report.floor == ("float64" if float64 else "ulp")
    assert report.batch_safe


def faulty_weight(x: np.ndarray) -> dict[str, np.ndarray]:
    weight = WEIGHT.astype(np.float32)
    weight[3, 5] *= 1.001
    return {"y": np.tanh(x @ weight)}


def wrong_dtype(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"y": np.tanh(x @ WEIGHT)}


def squeezed(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"y": np.squeeze(exact(x)["y"])}


def half(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"y": exact(x.astype(np.float16).astype(np.float32))["y"]}


def nan_at_one_place(x: np.ndarray) -> dict[str, np.ndarray]:
    y = exact(x)["y"]
    y[0, 0] = np.nan
    return {"y": y}


def nothing(x: np.ndarray) -> dict[str, np.ndarray]:
    return {}


@pytest.mark.parametrize("fault", [faulty_weight, wrong_dtype, squeezed, half, nan_at_one_place, nothing])
def test_faults_are_refused(fault: Function) -> None:
    report = judge(fault).report
    assert not report.equivalent, report
    assert report.worst_multiple > 50


def test_an_export_that_mixes_rows_is_equivalent_but_not_batch_safe() -> None:
    class Mixing(NumpyNetwork):
        def run(self, feeds: dict[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
            x = feeds["x"].astype(precision)
            return {"y": np.tanh((x - x.mean(axis=0)) @ WEIGHT.astype(precision))}

    def mixing(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": np.tanh((x - x.mean(axis=0)) @ WEIGHT.astype(np.float32))}

    reference = Reference(Mixing(), Processing(), INPUTS)  # type: ignore[arg-type]
    report = measure(reference, {"served": Export(mixing)}, cases(INPUTS, {}), OUTPUTS, served="served").report
    assert report.equivalent, report
    assert not report.batch_safe


def test_an_output_without_a_row_per_row_is_not_batch_safe() -> None:
    class Total(NumpyNetwork):
        output_names = ("total",)

        def run(self, feeds: dict[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
            return {"total": np.asarray(feeds["x"].astype(precision).sum(dtype=precision))}

    def total(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"total": np.asarray(x.sum(dtype=np.float32))}

    reference = Reference(Total(), Processing(), INPUTS)  # type: ignore[arg-type]
    outputs = [parse_spec("total:float32[]")]
    report = measure(reference, {"served": Export(total)}, cases(INPUTS, {}), outputs, served="served").report
    assert report.equivalent, report
    assert math.isinf(report.batch_multiple)
    assert not report.batch_safe


def test_flips_within_the_noise_of_a_threshold_are_near_ties_and_others_are_faults() -> None:
    value = float(np.float32(0.25))
    steps = Processing(after=[Threshold(input="y", output="is_high", value=value)])
    outputs = [*OUTPUTS, parse_spec(f"is_high:bool[batch,{WIDTH}]")]

    def decide(shift: float) -> Function:
        def run(x: np.ndarray) -> dict[str, np.ndarray]:
            y = exact(x)["y"]
            return {"y": y, "is_high": y > value + shift}

        return run

    def judged(shift: float) -> bool:
        reference = Reference(NumpyNetwork(), steps, INPUTS)  # type: ignore[arg-type]
        return measure(
            reference, {"s": Export(decide(shift))}, cases(INPUTS, {}), outputs, served="s"
        ).report.equivalent

    assert judged(0.0)
    assert judged(1e-7)
    assert not judged(0.05)


def test_a_golden_that_is_too_large_is_still_one_that_shows_something() -> None:
    def result(values: np.ndarray, multiple: float) -> CaseResult:
        golden = Golden({"x": values}, {"y": values}, {"y": np.ones_like(values)})
        return CaseResult(Case("generated", len(values), golden.inputs), golden, multiples={"y": multiple})

    large = 1 << 17
    zeros, drawn = np.zeros((1, large), np.float32), np.linspace(0, 1, large, dtype=np.float32)[None]
    both = np.concatenate([drawn, drawn])
    chosen = choose_goldens([result(zeros, 0.0), result(both, 2.0), result(drawn, 1.0)])
    assert [golden.inputs["x"] is drawn for golden in chosen] == [True]


def test_goldens_are_few_and_small_and_hold_a_lone_row() -> None:
    goldens = judge(exact).goldens
    assert 1 <= len(goldens) <= 3
    assert 1 in {len(golden.inputs["x"]) for golden in goldens}
    assert all(set(golden.floors) == {"y"} for golden in goldens)

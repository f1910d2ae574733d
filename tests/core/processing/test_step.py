"""What every step has in common."""

from __future__ import annotations

import pytest

from onnxpress.core.processing import MeanSquaredError, Stack
from onnxpress.core.processing.step import Step, check_distinct, check_finite


def test_a_step_reads_what_its_fields_name_and_makes_its_output() -> None:
    error = MeanSquaredError(input="x", target="t", output="y")
    assert (error.reads, error.makes) == (["x", "t"], ["y"])
    assert Stack(inputs=["a", "b"], output="y").reads == ["a", "b"]


def test_a_step_of_its_own_must_say_what_it_computes() -> None:
    with pytest.raises(NotImplementedError):
        Step(output="y").outputs({}, "float32")


def test_values_are_checked_with_their_place() -> None:
    check_finite("knot", [0.0, -1.0])
    with pytest.raises(ValueError, match="knot 1 is inf; it must be finite"):
        check_finite("knot", [0.0, float("inf")])
    check_distinct("labels", ["a", "b"])
    with pytest.raises(ValueError, match="labels has 'b' twice"):
        check_distinct("labels", ["b", "a", "b"])

"""Partial dependence: the mean answer at each point of a column, held against what it must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnxpress.core.processing import Unscale
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.families import dependence
from onnxpress.training.families.prepared import Outcome, Prepared
from onnxpress.training.fitting.loop import Examples

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal(50).astype(np.float32)
PLAN = np.array(["basic", "pro"] * 25, object)


def prepared(**more: Any) -> Prepared:
    nothing = Examples({}, np.zeros(0, np.float32))
    specs = [
        TensorSpec(name="x", dtype="float32", shape=("batch",)),
        TensorSpec(name="plan", dtype="string", shape=("batch",)),
    ]
    return Prepared(
        network="none", settings={}, parameters=None, train=nothing, validation=nothing,
        held_out={"x": X, "plan": PLAN}, target=np.zeros(50, np.int64), before=[], inputs=specs, network_inputs=specs,
        network_outputs=[TensorSpec(name="y", dtype="float32", shape=("batch", 1))], **more,
    )  # fmt: skip


def line(tensors: Any) -> Any:
    """3 x, and 10 more where the plan is pro."""
    return (3 * tensors["x"] + 10.0 * (tensors["plan"] == "pro")).astype(np.float32)[:, None]


def test_a_value_follows_its_column_in_its_own_unit() -> None:
    unit = Unscale(input="y", output="value", offset=[100.0], unit=[2.0])
    found = dependence.of_column(prepared(unit=unit), line, "x")
    points = np.array(found["values"])
    assert len(points) == 12
    assert X.min() < points.min() < points.max() < X.max()
    np.testing.assert_allclose(found["means"]["value"], 100 + 2 * (3 * points + 5), rtol=1e-5)


def test_categories_are_points_of_their_own() -> None:
    found = dependence.of_column(prepared(), line, "plan")
    assert found["values"] == ["basic", "pro"]
    np.testing.assert_allclose(found["means"]["value"], [3 * X.mean(), 3 * X.mean() + 10], rtol=1e-4)


def test_probabilities_of_two_classes_and_of_several() -> None:
    two = dependence.of_column(prepared(classes=["no", "yes"]), line, "x")
    assert list(two["means"]) == ["yes"]
    assert np.all(np.diff(two["means"]["yes"]) > 0)

    def three(tensors: Any) -> Any:
        return np.stack([tensors["x"], -tensors["x"], 0 * tensors["x"]], axis=1)

    several = dependence.of_column(prepared(classes=["a", "b", "c"]), three, "x")
    np.testing.assert_allclose(np.sum(list(several["means"].values()), axis=0), 1.0)


@pytest.mark.parametrize("column", [np.full(50, np.nan, np.float32), np.full(50, 1.0, np.float32)])
def test_a_column_without_a_course_is_one_point(column: Any) -> None:
    whole = prepared()
    whole.held_out["x"] = column
    assert len(dependence.of_column(whole, line, "x")["values"]) == 1


def test_the_outcome_has_the_columns_that_matter_most() -> None:
    outcome = Outcome(after=[], outputs=[], metrics={}, plots={})
    added = dependence.added(outcome, prepared(), line, importance={"x": 0.1, "plan": 0.9}, title="a run")
    assert list(added.tables["dependence.json"]["columns"]) == ["plan", "x"]
    assert added.plots["dependence.png"].get_axes()

"""Rows beside the splits of trees: every split is reached from both sides, and a threshold that moved is seen."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, helper, numpy_helper

from onnxpress.export.equivalence.tree_rows import near_splits

pytest.importorskip("skl2onnx")
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal((120, 4)).astype(np.float32)
Y = X[:, 0] * X[:, 1] + 0.3 * X[:, 2]


@pytest.fixture(params=["classifier", "regressor"])
def graph(request: pytest.FixtureRequest) -> ModelProto:
    if request.param == "classifier":
        model = RandomForestClassifier(5, max_depth=4, random_state=0).fit(X, Y > 0)
        return to_onnx(model, X[:1], options={"zipmap": False})
    return to_onnx(GradientBoostingRegressor(n_estimators=8, max_depth=3, random_state=0).fit(X, Y), X[:1])


def answers(graph: ModelProto, rows: np.ndarray) -> np.ndarray:
    name = graph.graph.input[0].name
    found: np.ndarray = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {name: rows})[-1]
    return found


def test_a_threshold_that_moved_is_seen(graph: ModelProto) -> None:
    (rows,) = near_splits(graph).values()
    rows = rows.astype(np.float32)
    sound = answers(graph, rows)
    (node,) = (one for one in graph.graph.node if one.op_type.startswith("TreeEnsemble"))
    modes = next(one for one in node.attribute if one.name == "nodes_modes").strings
    values = next(one for one in node.attribute if one.name == "nodes_values").floats
    splits = [index for index, mode in enumerate(modes) if mode == b"BRANCH_LEQ"]
    seen = 0
    for index in splits:
        kept = values[index]
        values[index] = kept * np.float32(1.001)
        seen += not np.array_equal(answers(graph, rows), sound)
        values[index] = kept
    assert seen >= 0.95 * len(splits)  # of some splits both sides say the same everywhere
    # Rows of the usual kind see few of them.
    usual = DRAW.standard_normal((len(rows), 4)).astype(np.float32)
    sound, few = answers(graph, usual), 0
    for index in splits:
        kept = values[index]
        values[index] = kept * np.float32(1.001)
        few += not np.array_equal(answers(graph, usual), sound)
        values[index] = kept
    assert few < seen / 2


def test_trees_behind_a_computation_show_none() -> None:
    scaled = make_pipeline(StandardScaler(), RandomForestClassifier(2, random_state=0)).fit(X, Y > 0)
    assert near_splits(to_onnx(scaled, X[:1], options={"zipmap": False})) == {}


def test_a_graph_without_trees_shows_none() -> None:
    graph = helper.make_graph([], "empty", [], [])
    assert near_splits(helper.make_model(graph)) == {}


def test_doubles_are_read_as_floats_are(graph: ModelProto) -> None:
    (wanted,) = near_splits(graph).values()
    (node,) = (one for one in graph.graph.node if one.op_type.startswith("TreeEnsemble"))
    for one in [*node.attribute]:
        if one.name in ("nodes_values", "class_weights", "target_weights"):
            wide = numpy_helper.from_array(np.array(one.floats, np.float64), one.name)
            node.attribute.append(helper.make_attribute(f"{one.name}_as_tensor", wide))
            node.attribute.remove(one)
    (rows,) = near_splits(graph).values()
    np.testing.assert_array_equal(rows, wanted)

"""A Keras model's choices: what rounding exchanges is marked, and what is wrong stays wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
pytest.importorskip("tf2onnx")

import onnx  # noqa: E402
from keras import layers, ops  # noqa: E402

from onnxpress.core.golden import LIMIT  # noqa: E402
from onnxpress.core.processing import Processing  # noqa: E402
from onnxpress.export.equivalence.cases import Case  # noqa: E402
from onnxpress.export.equivalence.reference import Reference  # noqa: E402
from onnxpress.export.equivalence.ties import marked, tied  # noqa: E402
from onnxpress.export.networks.tensorflow.function import FunctionNetwork  # noqa: E402
from onnxpress.export.networks.tensorflow.keras_model import KerasNetwork  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.pipeline.publish import Published  # noqa: E402
from onnxpress.export.pipeline.verify import against_source  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

pytestmark = pytest.mark.tensorflow
NEAR = float(np.nextafter(np.float32(0.9), np.float32(1)))
SCORES = [[0.1, 0.9, NEAR, 0.5], [0.1, 0.9, 0.8, 0.5], [0.1, 0.9, 0.9, 0.5]]


def source(model: Any, example: Any = None) -> Source:
    return Source(reference="choice", name="m", framework="tensorflow", network=model, example_inputs=example)


def decided(build: Any, rows: list[list[float]]) -> dict[str, Any]:
    values = np.array(rows, np.float32)
    given = keras.Input(values.shape[1:], name="x")
    network = KerasNetwork(source(keras.Model(given, build(given)), values))
    reference = Reference(network, Processing(), network.inputs)
    (case,) = marked(reference, [Case("generated", len(rows), {"x": values})], LIMIT)
    return {name: tie.tolist() for name, tie in case.ties.items()}


def test_scores_that_rounding_exchanges_are_marked_and_others_not() -> None:
    def head(x: Any) -> Any:
        best, at = ops.top_k(x, 3)
        return {"at": at, "scores": best, "one": ops.argmax(x, -1), "order": ops.argsort(x)}

    found = decided(head, SCORES)
    # Equal in float64 too: both sides take the first. The scores themselves are compared everywhere.
    first, equal = [[True, True, False], [False] * 3, [False] * 3], [False] * 4
    assert found == {"at": first, "one": [True, False, False], "order": [[False, False, True, True], equal, equal]}


class Own(layers.Layer):
    """A layer of which nobody can make one in float64."""

    def __init__(self) -> None:
        super().__init__()

    def call(self, x: Any) -> Any:
        return x * 1.0


def test_where_no_float64_tells_scores_apart_those_that_saturate_are_marked() -> None:
    rows = [[20.0, 21.0, 22.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]
    found = decided(lambda x: {"best": ops.argmax(ops.sigmoid(Own()(x)), -1)}, rows)
    assert found == {"best": [True, False, False]}


def test_saturated_scores_are_marked() -> None:
    found = decided(lambda x: {"best": ops.argmax(ops.sigmoid(x), -1)}, [[20.0, 21.0, 22.0], [1.0, 2.0, 3.0]])
    assert found == {"best": [True, False]}


def test_what_chooses_nothing_is_asked_once() -> None:
    network = KerasNetwork(source(keras.Sequential([keras.Input((4,), name="x"), layers.Dense(2)])))
    assert network.choices.chooses is False
    assert not list(network.chosen_otherwise({"x": np.ones((3, 4), "f4")}, LIMIT, 8))


def test_the_choices_of_a_function_are_seen_too() -> None:
    given = tf.TensorSpec([None, 4], tf.float32, name="x")
    function = tf.function(lambda x: {"at": tf.math.top_k(x, 3).indices}, input_signature=[given])
    network = FunctionNetwork(source(function))
    reference = Reference(network, Processing(), network.inputs)
    (case,) = marked(reference, [Case("generated", 3, {"x": np.array(SCORES, np.float32)})], LIMIT)
    assert case.ties["at"].tolist() == [[True, True, False], [False] * 3, [False] * 3]


class Apart(layers.Layer):
    """Of a row's boxes those that no better one covers."""

    def call(self, boxes: Any, scores: Any) -> Any:
        return tf.image.non_max_suppression(boxes[0], scores[0], 3, 0.5, 0.2)[None]


def test_boxes_of_which_one_is_taken_for_another_are_marked() -> None:
    boxes, scores = keras.Input((4, 4), name="boxes"), keras.Input((4,), name="scores")
    place = np.array([[[0, 0, 1, 1], [0, 0, 1, 1.01], [2, 2, 3, 3], [4, 4, 5, 5]]], np.float32)
    network = KerasNetwork(source(keras.Model([boxes, scores], {"kept": Apart()(boxes, scores)})))
    reference = Reference(network, Processing(), network.inputs)
    for best, marks in ((NEAR, True), (0.95, False)):
        feeds = {"boxes": place, "scores": np.array([[0.9, best, 0.5, 0.1]], np.float32)}
        (case,) = marked(reference, [Case("generated", 1, feeds)], LIMIT)
        assert case.ties.get("kept", np.zeros((1, 2), bool)).tolist() == [[marks, False]]


def test_boxes_tie_in_the_graph_where_a_chosen_one_has_an_equal() -> None:
    helper = onnx.helper
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "share", "least"], ["kept"])
    tensors = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (("boxes", 1, [1, 3, 4]), ("scores", 1, [1, 1, 3]), ("kept", 7, ["n", 3]))
    ]
    limits = {"most": np.array([2]), "share": np.array([0.5], np.float32), "least": np.array([0.1], np.float32)}
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in limits.items()]
    graph = helper.make_graph([node], "boxes", tensors[:2], tensors[2:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    place = np.array([[[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]]], np.float32)

    def case(*scores: float) -> Case:
        return Case("large", 1, {"boxes": place, "scores": np.array([[scores]], np.float32)})

    assert tied(model, [case(1.0, 1.0, 0.5)])
    assert not tied(model, [case(1.0, 0.9, 0.5)])


class Head(layers.Layer):
    """The best eight of a row's scores, with what belongs to them."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.box = layers.Dense(3), layers.Dense(4)

    def build(self, shape: Any) -> None:
        self.score.build(shape)
        self.box.build(shape)

    def call(self, x: Any) -> Any:
        scores = ops.sigmoid(self.score(x) * 6)
        top, at = ops.top_k(ops.max(scores, -1), 8)
        labels = ops.take_along_axis(ops.argmax(scores, -1), at, 1)
        return {"scores": top, "labels": labels, "boxes": ops.take_along_axis(self.box(x), at[..., None], 1)}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Published]:
    keras.utils.set_random_seed(0)
    x = keras.Input((40, 5), name="x")
    rows = np.random.default_rng(0).standard_normal((2, 40, 5)).astype(np.float32)
    one = source(keras.Model(x, Head()(x)), rows)
    return one, export(one, repository=tmp_path_factory.mktemp("heads"))


def test_a_head_whose_scores_saturate_on_ordinary_rows_is_published(published: tuple[Source, Published]) -> None:
    original, made = published
    assert made.report.equivalent
    rows = np.random.default_rng(1).standard_normal((3, 40, 5)).astype(np.float32) * 0.1
    wanted = original.network(rows, training=False)
    answers = Engine.load(made.folder / "model.onnx").run({"x": rows})
    np.testing.assert_allclose(answers["boxes"], wanted["boxes"], 1e-5, 1e-5)


def test_a_faulty_head_is_refused_all_the_same(published: tuple[Source, Published], tmp_path: Path) -> None:
    model = onnx.load(published[1].folder / "model.onnx")
    node = next(node for node in model.graph.node if node.op_type == "TopK")
    at = list(model.graph.node).index(node)
    model.graph.node.insert(at, onnx.helper.make_node("Neg", [node.input[0]], ["negated"]))
    model.graph.node[at + 1].input[0] = "negated"
    onnx.save(model, tmp_path / "wrong.onnx")
    assert not against_source(tmp_path / "wrong.onnx", published[0], "cpu").equivalent

"""The faults of the tools that rewrite graphs, each with the graph that shows it, and the way around it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.export.derive.networks import classifier, model, rows, weights

from onnxpress.core.arrays import Array
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.rows import Dependent, Proven
from onnxpress.export.derive import dynamic_int8, equalisation, half, slim
from onnxpress.export.derive import weights as weights_alone
from onnxpress.export.derive.prepared import copied, prepare
from onnxpress.export.derive.static_int8 import NARROW, WIDE, StaticInt8
from onnxpress.export.equivalence.independence import proof_of
from onnxpress.serving.engine import Engine, saturation


def answer(graph: onnx.ModelProto, feeds: Mapping[str, Array], settings: SessionSettings | None = None) -> Array:
    engine = Engine.load(graph.SerializeToString(), settings=settings or SessionSettings(), self_test=False)
    return engine.run(feeds)["y"]


def operators(graph: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in graph.graph.node]


def test_dynamic_int8_of_a_gemm_with_a_turned_weight_that_was_prepared() -> None:
    """`quantize_dynamic` turns it into a MatMul; the shape that was inferred of the weight is then the wrong one."""
    x = {"x": rows(64, 16)}
    graph = prepare(classifier())
    assert not graph.graph.value_info
    found = dynamic_int8.quantized(graph)
    assert "MatMulInteger" in operators(found)
    np.testing.assert_allclose(answer(found, x), answer(classifier(), x), atol=0.05)


def test_a_shape_with_start_and_end_can_be_prepared() -> None:
    """Symbolic shape inference fails on it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["n"], start=0, end=1),
        helper.make_node("Concat", ["n", "k"], ["s"], axis=0),
        helper.make_node("Reshape", ["x", "s"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    graph = model(nodes, {"k": np.array([16], np.int64), "w": weights(16, 3)}, [4, 4], [3])
    x = {"x": rows(8, 4, 4)}
    np.testing.assert_allclose(answer(prepare(graph), x), answer(graph, x), rtol=1e-5)


@pytest.mark.parametrize("attributes", [{"alpha": 0.25}, {"beta": 3.0}, {"alpha": 2.0, "beta": 0.5}])
def test_factors_of_a_gemm_survive_static_int8(attributes: dict[str, float]) -> None:
    x = {"x": rows(200, 16)}
    graph = classifier(**attributes)
    prepared = prepare(graph)
    np.testing.assert_allclose(answer(prepared, x), answer(graph, x), atol=1e-6)
    found = StaticInt8(prepared, x, together=True).quantized(operators=NARROW)
    assert "QuantizeLinear" in operators(found)
    np.testing.assert_allclose(answer(found, x), answer(graph, x), atol=0.08)


def test_static_int8_rounds_apart_fused_and_unfused_by_less_than_the_precision_costs() -> None:
    x = {"x": rows(400, 16)}
    graph = classifier()
    found = StaticInt8(prepare(graph), x, together=True).quantized(operators=WIDE)
    fused, plain = answer(found, x), answer(found, x, saturation.unfused(SessionSettings()))
    cost = np.sqrt(np.mean((plain - answer(graph, x)) ** 2))
    assert np.sqrt(np.mean((fused - plain) ** 2)) <= cost


@pytest.mark.parametrize("calibration", ["min-max", "percentile", "entropy"])
def test_static_int8_keeps_nodes_in_float_and_rows_apart(calibration: str) -> None:
    x = {"x": rows(200, 16)}
    prepared = prepare(classifier())
    static = StaticInt8(prepared, x, together=True)
    names = static.nodes(NARROW)
    assert len(names) == 2
    every = static.quantized(calibration, operators=NARROW)  # type: ignore[arg-type]
    some = static.quantized(calibration, operators=NARROW, keep=names[:1])  # type: ignore[arg-type]
    alone = static.quantized(calibration, operators=NARROW, only=names[1:])  # type: ignore[arg-type]
    assert operators(every).count("QuantizeLinear") > operators(some).count("QuantizeLinear")
    assert operators(some) == operators(alone)
    assert isinstance(proof_of(every.SerializeToString()), Proven)


def test_dynamic_int8_makes_rows_depend_on_their_neighbours_and_the_proof_says_so() -> None:
    found = dynamic_int8.quantized(prepare(classifier()))
    proof = proof_of(found.SerializeToString())
    assert isinstance(proof, Dependent)
    assert proof.definite
    row = rows(1, 16)
    loud = np.concatenate([row, 1000 * row])
    assert np.abs(answer(found, {"x": loud})[:1] - answer(found, {"x": row})).max() > 1e-3


def recurrent() -> onnx.ModelProto:
    """6 steps of 8 → the last state of an LSTM of 16."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r"], ["", "h"], hidden_size=16),
        helper.make_node("Squeeze", ["h", "axis"], ["y"]),
    ]
    constants = {"w": weights(1, 64, 8), "r": weights(1, 64, 16), "axis": np.array([0], np.int64)}
    return model(nodes, constants, [6, 8], [16])


def test_dynamic_int8_of_a_recurrent_layer_is_offered_and_never_batched() -> None:
    prepared = prepare(recurrent())
    assert dynamic_int8.offered(prepared)
    found = dynamic_int8.quantized(prepared)
    assert "DynamicQuantizeLSTM" in operators(found)
    proof = proof_of(found.SerializeToString())
    assert isinstance(proof, Dependent)
    assert proof.definite


def convolutional(*extra: onnx.NodeProto) -> onnx.ModelProto:
    """3x8x8 → a convolution, `extra` from `c` to `e`, and the mean of each of 16 channels."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        *(extra or [helper.make_node("Relu", ["c"], ["e"])]),
        helper.make_node("GlobalAveragePool", ["e"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    constants = {"w": weights(16, 3, 3, 3) * 4, "sizes": np.array([1, 1, 2, 2], np.float32)}
    return model(nodes, constants, [3, 8, 8], [16])


def test_dynamic_int8_is_not_offered_to_convolutions() -> None:
    assert not dynamic_int8.offered(prepare(convolutional()))


@pytest.mark.parametrize(
    "extra",
    [
        [helper.make_node("Resize", ["c", "", "sizes"], ["e"], mode="nearest")],
        [
            helper.make_node("Cast", ["c"], ["i"], to=TensorProto.INT32),
            helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["f", "c"], ["e"]),
        ],
    ],
    ids=["Resize", "Cast"],
)
def test_float16_leaves_resize_and_cast_in_float32(extra: list[onnx.NodeProto]) -> None:
    graph = convolutional(*extra)
    x = {"x": rows(4, 3, 8, 8)}
    found = half.converted(prepare(graph))
    onnx.checker.check_model(found, full_check=True)
    if len(extra) == 1:
        np.testing.assert_allclose(answer(found, x), answer(graph, x), atol=0.02)
    else:  # whole numbers may step where the convolution rounds
        assert np.abs(answer(found, x) - answer(graph, x)).mean() < 0.05


def test_what_float16_cannot_hold_becomes_an_island() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["big"], name="first"),
        helper.make_node("Mul", ["big", "small"], ["m"], name="back"),
        helper.make_node("MatMul", ["m", "v"], ["y"], name="last"),
    ]
    constants = {"w": weights(16, 16) * 1e6, "small": np.array(1e-6, np.float32), "v": weights(16, 3)}
    graph = model(nodes, constants, [16], [3])
    x = {"x": rows(32, 16)}
    names = half.islands(graph, x)
    assert names == ["first", "back"]
    # On the CPU nothing becomes infinite, as it computes in float32: the weights are cut off at 65,504 all the same.
    assert np.abs(answer(half.converted(graph), x) - answer(graph, x)).max() > 0.1
    np.testing.assert_allclose(answer(half.converted(graph, keep=names), x), answer(graph, x), atol=0.02)


@pytest.mark.parametrize(("dtype", "error"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_weights_stored_in_16_bits_are_computed_in_float32(dtype: str, error: float) -> None:
    graph = classifier(hidden=512)
    x = {"x": rows(64, 16)}
    found = half.stored(graph, dtype)  # type: ignore[arg-type]
    assert found.ByteSize() < 0.6 * graph.ByteSize()
    np.testing.assert_allclose(answer(found, x), answer(graph, x), atol=error)
    kept = half.stored(prepare(graph), dtype, keep=half.with_weights(prepare(graph)))  # type: ignore[arg-type]
    assert "Cast" not in operators(kept)


def test_bfloat16_is_rounded_to_the_nearest() -> None:
    value = np.array([1.0, 1.00390625, 1.005, -3.14159, 1e-30, 3e38, 0.0], np.float32)
    tensor = half._in_16_bits(value, "t", TensorProto.BFLOAT16)
    stored = np.frombuffer(tensor.raw_data, np.uint16).astype(np.uint32) << 16
    expected = onnx.numpy_helper.to_array(onnx.helper.make_tensor("t", TensorProto.BFLOAT16, value.shape, value))
    np.testing.assert_array_equal(stored.view(np.float32), expected.astype(np.float32))


@pytest.mark.parametrize(("bits", "block", "error"), [(8, 32, 0.02), (8, 128, 0.02), (4, 32, 0.3)])
def test_weights_alone_quantize_no_activations(bits: int, block: int, error: float) -> None:
    """`accuracy_level=4` would: each row is then rounded to 8 bits. Unset, or 0, computes in float32."""
    graph = classifier(hidden=512)
    x = {"x": rows(64, 16)}
    found = weights_alone.quantized(prepare(graph), bits, block)  # type: ignore[arg-type]
    assert found is not None
    products = [node for node in found.graph.node if node.op_type == "MatMulNBits"]
    assert len(products) == 1  # the other has 16 values to a column: a block would be mostly padding
    assert "DequantizeLinear" in operators(found)
    levels = [one.i for node in products for one in node.attribute if one.name == "accuracy_level"]
    assert not any(levels)
    assert isinstance(proof_of(found.SerializeToString()), Proven)
    np.testing.assert_allclose(answer(found, x), answer(graph, x), atol=error)


def test_weights_alone_of_tables_convolutions_and_recurrent_layers() -> None:
    x = {"x": rows(4, 3, 8, 8)}
    graph = convolutional()
    big = model(list(graph.graph.node), {"w": weights(64, 3, 3, 3) * 4}, [3, 8, 8], [64])
    settings = weights_alone.settings(SessionSettings())
    found = weights_alone.quantized(prepare(big), 8, 32)
    assert found is not None
    assert found.ByteSize() < 0.5 * big.ByteSize()
    np.testing.assert_allclose(answer(found, x, settings), answer(big, x), atol=0.02)
    steps = {"x": rows(4, 6, 8)}
    found = weights_alone.quantized(prepare(recurrent()), 8, 32)
    assert found is not None
    assert operators(found).count("DequantizeLinear") == 1  # the other weight is too small to gain
    np.testing.assert_allclose(answer(found, steps, settings), answer(recurrent(), steps), atol=0.02)
    table = helper.make_node("Gather", ["t", "i"], ["g"])
    nodes = [helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64), table]
    nodes.append(helper.make_node("ReduceMean", ["g", "a"], ["y"], keepdims=0))
    words = model(nodes, {"t": weights(500, 32), "a": np.array([1], np.int64)}, [5], [32])
    ids = {"x": np.random.default_rng(0).integers(0, 500, (7, 5)).astype(np.float32)}
    found = weights_alone.quantized(prepare(words), 8, 32)
    assert found is not None
    assert found.ByteSize() < 0.4 * words.ByteSize()
    assert isinstance(proof_of(found.SerializeToString()), Proven)
    np.testing.assert_allclose(answer(found, ids), answer(words, ids), atol=0.005)


def test_weights_alone_say_where_there_is_nothing_to_gain() -> None:
    assert weights_alone.quantized(prepare(convolutional()), 8, 32) is None
    assert weights_alone.quantized(prepare(convolutional()), 4, 32) is None


def outlying() -> onnx.ModelProto:
    """A LayerNormalization with one channel of a hundred times the others, and two products that take it."""
    scale = np.ones(32, np.float32)
    scale[7] = 100
    nodes = [
        helper.make_node("LayerNormalization", ["x", "g", "b"], ["n"]),
        helper.make_node("MatMul", ["n", "w"], ["p"]),
        helper.make_node("MatMul", ["n", "v"], ["q"]),
        helper.make_node("Mul", ["p", "q"], ["y"]),
    ]
    w, v = weights(32, 8), weights(32, 8, seed=1)
    w[7] /= 100
    v[7] /= 100
    return model(nodes, {"g": scale, "b": weights(32, seed=2), "w": w, "v": v}, [32], [8])


def test_outliers_go_into_the_weights_and_int8_is_nearer() -> None:
    x = {"x": rows(200, 32)}
    graph = prepare(outlying())
    calmed = equalisation.equalised(graph, x)
    assert calmed is not None
    np.testing.assert_allclose(answer(calmed, x), answer(graph, x), atol=1e-4)
    off = [
        np.abs(answer(StaticInt8(one, x, together=True).quantized(operators=NARROW), x) - answer(graph, x)).mean()
        for one in (graph, calmed)
    ]
    assert off[1] < 0.5 * off[0]


def chained(*, pooled: bool) -> onnx.ModelProto:
    """A product with one channel of a hundred times the others, a ReLU, and a product that takes it little."""
    if pooled:
        w, v = weights(16, 3, 3, 3), weights(8, 16, 1, 1, seed=1)
        w[5] *= 100
        v[:, 5] /= 100
        nodes = [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            helper.make_node("Conv", ["p", "v"], ["d"]),
            helper.make_node("Flatten", ["d"], ["y"]),
        ]
        return model(nodes, {"w": w, "b": weights(16, seed=2), "v": v}, [3, 8, 8], [128])
    w, v = weights(32, 16), weights(32, 8, seed=1)
    w[7] *= 100
    v[7] /= 100
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["c"], transB=1),
        helper.make_node("LeakyRelu", ["c"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    return model(nodes, {"w": w, "b": weights(32, seed=2), "v": v}, [16], [8])


@pytest.mark.parametrize("pooled", [False, True], ids=["Gemm", "Conv"])
def test_outliers_between_two_products_go_into_the_weights_too(pooled: bool) -> None:
    x = {"x": rows(64, 3, 8, 8) if pooled else rows(200, 16)}
    graph = prepare(chained(pooled=pooled))
    calmed = equalisation.equalised(graph, x)
    assert calmed is not None
    assert len(calmed.graph.initializer) == len(graph.graph.initializer)  # those that were there before are gone
    np.testing.assert_allclose(answer(calmed, x), answer(graph, x), rtol=1e-4, atol=1e-4)
    off = [
        np.abs(answer(StaticInt8(one, x, together=True).quantized(operators=NARROW), x) - answer(graph, x)).mean()
        for one in (graph, calmed)
    ]
    assert off[1] < 0.5 * off[0]


def test_outliers_that_others_see_stay_where_they_are() -> None:
    """Another node takes the activation, a sum stands between, or it is an output: dividing it would be seen."""
    graph = chained(pooled=False)
    for spoiled in ("output", "other", "between"):
        found = copied(graph)
        if spoiled == "output":
            found.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, ["batch", 32]))
        elif spoiled == "other":
            found.graph.node.append(helper.make_node("ReduceSum", ["r"], ["z"]))
            found.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
        else:
            found.graph.node[1].CopyFrom(helper.make_node("Sigmoid", ["c"], ["r"]))
        assert equalisation.equalised(found, {"x": rows(16, 16)}) is None


def test_a_flat_activation_is_left_alone() -> None:
    assert equalisation.equalised(prepare(classifier()), {"x": rows(8, 16)}) is None


def test_the_offline_optimiser_folds_what_is_constant() -> None:
    nodes = [
        helper.make_node("Add", ["w", "w"], ["d"]),
        helper.make_node("MatMul", ["x", "d"], ["m"]),
        helper.make_node("Identity", ["m"], ["y"]),
    ]
    graph = model(nodes, {"w": weights(16, 3)}, [16], [3])
    found = slim.slimmed(graph)
    assert operators(found) == ["MatMul"]
    x = {"x": rows(8, 16)}
    np.testing.assert_allclose(answer(found, x), answer(graph, x), rtol=1e-6)


def test_the_tools_leave_logging_as_it_was() -> None:
    before = list(logging.getLogger().handlers), logging.root.manager.disable
    weights_alone.quantized(prepare(classifier()), 8, 32)
    assert (list(logging.getLogger().handlers), logging.root.manager.disable) == before

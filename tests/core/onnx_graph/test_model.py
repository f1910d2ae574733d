"""The reader finds in a model what the onnx package finds, and nothing but BadModel in what is none."""

from __future__ import annotations

import contextlib
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving import onnx_models

from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import Attribute, Graph, Model, Node, Tensor, held, open_model

MODEL = onnx_models.model(
    [onnx_models.node("Concat", ["x", "c"], ["h"], axis=1), onnx_models.node("Transpose", ["h"], ["y"], perm=[1, 0])],
    ["x:float32[batch,3]"],
    ["y:float32[4,batch]"],
    {"c": np.array([[1], [2]], np.int64)},
)


def test_nodes_constants_and_signature() -> None:
    model = Model(MODEL)
    assert (model.ir_version, model.opsets) == (10, {"": 18})
    concat, transpose = model.graph.nodes
    assert (concat.operator, concat.domain, concat.inputs, concat.outputs) == ("Concat", "", ["x", "c"], ["h"])
    assert concat.title == "h"
    axis, perm = concat.attributes.get("axis"), transpose.attributes.get("perm")
    assert axis is not None
    assert axis.integer() == 1
    assert perm is not None
    assert perm.ints() == (1, 0)
    assert concat.attributes.get("nothing") is None
    (constant,) = model.graph.initializers
    assert (constant.name, constant.type, constant.dims, constant.values(8)) == ("c", 7, (2, 1), (1, 2))
    assert constant.values(1) is None
    (x,), (y,) = model.graph.inputs, model.graph.outputs
    assert (x.name, x.kind, x.type, x.shape) == ("x", "tensor", 1, ("batch", 3))
    assert y.shape == (4, "batch")


def test_a_file_is_read_in_place_and_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL)
    with open_model(path) as model:
        assert [node.operator for node in model.graph.nodes] == ["Concat", "Transpose"]
    path.write_bytes(MODEL[:-3])
    with pytest.raises(BadModel, match="damaged") as refused, open_model(path):
        pass
    assert refused.value.where == str(path)
    path.write_bytes(b"")
    with pytest.raises(BadModel, match="no graph"), open_model(path):
        pass


def test_weights_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    nodes = [onnx_models.node("MatMul", ["x", "w"], ["y"])]
    weights = {"w": np.ones((1000, 5000), np.float32)}
    path.write_bytes(onnx_models.model(nodes, ["x:float32[batch,1000]"], ["y:float32[batch,5000]"], weights))
    with open_model(path) as model:  # what is loaded once for all
        assert model.graph.initializers[0].dims == (1000, 5000)
    tracemalloc.start()
    try:
        with open_model(path) as model:
            assert model.graph.initializers[0].values(64) is None
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x3a\x05\x0a", "cut off"),
        (b"\x3a\x02\x0a\x05", "cut off"),
        (b"\x3a", "ends within"),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "ten bytes"),
        (b"\x0b", "wire type 3"),
        (b"\xfa\xff\xff\xff\xff\x01\x00", "too large"),
        (b"\x3a\x00\x3a\x00", "two graphs"),
        (b"\x08\x0a", "no graph"),
        (b"\x3a\x02\x08\x80\x00", "longer than its message"),
    ],
)
def test_what_is_malformed_is_refused_with_its_reason(content: bytes, why: str) -> None:
    with pytest.raises(BadModel, match=why):
        Model(content)


def walked(content: bytes) -> None:
    """Everything that the reader can be asked for."""
    model = Model(content)
    list(model.tensors())
    for node in model.all_nodes():
        for attribute in node.attributes.values():
            asked = (attribute.integer, attribute.number, attribute.string, attribute.ints, attribute.floats)
            for ask in (*asked, attribute.strings, attribute.count, attribute.tensor, attribute.graph):
                ask()
    for tensor in model.tensors():
        tensor.values(100)
    model.graph.value_info()


class Searched(bytes):
    """Counts how much is searched at once, which no other thread can interrupt."""

    most = 0

    def find(self, content: bytes, at: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        self.most = max(self.most, (len(self) if end is None else end) - at)
        return bytes.find(self, content, at, len(self) if end is None else end)


def test_a_name_is_found_over_every_border_and_no_search_is_long() -> None:
    piece = 1 << 18
    for at in (0, piece - 5, piece - 1, piece, 2 * piece - 3, 3 * piece - 4):
        data = Searched(b"a" * at + b"name" + b"a" * (3 * piece - 4 - at))
        assert held(data, b"name", 0, len(data))
        assert not held(data, b"other", 0, len(data))
        assert not held(data, b"name", 0, at + 3)
        assert data.most <= piece + 8


def test_names_are_looked_for_beside_large_weights() -> None:
    large = np.frombuffer(b"Needle".ljust(1 << 17), np.float32)
    nodes = [onnx_models.node("Add", ["x", "w"], ["h"]), onnx_models.node("Mul", ["h", "v"], ["y"])]
    weights = {"w": large, "v": large[::-1].copy()}
    model = Model(onnx_models.model(nodes, ["x:float32[n]"], ["y:float32[n]"], weights))
    assert not model.holds(b"Needle")
    assert all(model.holds(name) for name in (b"Add", b"Mul", b"x", b"\x01v"))


def test_every_cut_is_read_or_refused() -> None:
    for content in (MODEL, onnx_models.in_attribute("w"), onnx_models.external("w")):
        for end in range(len(content)):
            with contextlib.suppress(BadModel):
                walked(content[:end])


@given(st.data())
def test_any_change_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([MODEL, onnx_models.in_attribute("w"), onnx_models.lookup()])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadModel):
        walked(bytes(content))


def nested(depth: int) -> bytes:
    """Branches within branches."""
    graph = b""
    for _ in range(depth):
        attribute = onnx_models._field(1, "then_branch") + onnx_models._field(6, graph) + onnx_models._field(20, 5)
        node = onnx_models._field(4, "If") + onnx_models._field(5, attribute)
        graph = onnx_models._field(1, node)
    return onnx_models._field(7, graph)


def test_graphs_nested_too_deep_are_refused() -> None:
    assert sum(1 for _ in Model(nested(30)).all_nodes()) == 30
    with pytest.raises(BadModel, match="nested too deep"):
        walked(nested(60))


def test_tensors_are_found_wherever_they_are() -> None:
    field = onnx_models._field
    outside = [onnx_models._outside("", name) for name in "abcdefg"]
    sparse = field(1, outside[0]) + field(2, outside[1])
    value = field(1, "v") + field(5, outside[2]) + field(10, outside[3]) + field(22, sparse)
    node = field(4, "Constant") + field(5, value)
    graph = field(1, node) + field(5, outside[4])
    default = field(1, "v") + field(5, outside[5])
    function = field(1, "f") + field(10, "d") + field(11, default) + field(7, node)
    training = field(1, field(5, outside[6]))
    content = field(7, graph) + field(25, function) + field(20, training)
    found = [location for tensor in Model(content).tensors() for location in tensor.locations]
    assert sorted(set(found)) == list("abcdefg")


def test_it_agrees_with_the_onnx_package_on_its_own_node_cases() -> None:
    onnx = pytest.importorskip("onnx", reason="the node cases come with the onnx package")
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of them make NaN on purpose
        cases = collect_testcases(None)
    models = [case.model for case in cases if case.model is not None]
    assert len(models) > 1000
    for expected in models:
        found = Model(expected.SerializeToString())
        assert (found.ir_version, found.producer) == (expected.ir_version, expected.producer_name)
        assert found.opsets == {opset.domain: opset.version for opset in expected.opset_import}
        assert sorted(found.functions) == sorted((f.domain, f.name, f.overload) for f in expected.functions)
        same_graph(onnx, found.graph, expected.graph)


def same_graph(onnx, found: Graph, expected) -> None:
    assert len(found.nodes) == len(expected.node)
    for node, wanted in zip(found.nodes, expected.node, strict=True):
        same_node(onnx, node, wanted)
    for tensor, wanted in zip(found.initializers, expected.initializer, strict=True):
        same_tensor(onnx, tensor, wanted)
    for values, wanted in ((found.inputs, expected.input), (found.outputs, expected.output)):
        assert [value.name for value in values] == [value.name for value in wanted]
        for value, declared in zip(values, wanted, strict=True):
            if declared.type.HasField("tensor_type"):
                kind = declared.type.tensor_type
                assert (value.kind, value.type) == ("tensor", kind.elem_type)
                shape = tuple(d.dim_param or (d.dim_value if d.HasField("dim_value") else None) for d in kind.shape.dim)
                assert value.shape == (shape if kind.HasField("shape") else None)


def same_node(onnx, found: Node, expected) -> None:
    assert (found.operator, found.name, found.overload) == (expected.op_type, expected.name, expected.overload)
    assert found.domain == expected.domain.replace("ai.onnx", "" if expected.domain == "ai.onnx" else "ai.onnx")
    assert (found.inputs, found.outputs) == (list(expected.input), list(expected.output))
    for attribute in expected.attribute:
        same_attribute(onnx, found.attributes.get(attribute.name), attribute)


def same_attribute(onnx, found: Attribute | None, expected) -> None:
    assert found is not None
    kinds = onnx.AttributeProto
    value = onnx.helper.get_attribute_value(expected) if not expected.ref_attr_name else None
    assert found.reference == expected.ref_attr_name
    if expected.type == kinds.INT and value is not None:
        assert found.integer() == value
    elif expected.type == kinds.FLOAT and value is not None:
        np.testing.assert_equal(found.number(), value)
    elif expected.type == kinds.STRING and value is not None:
        assert found.string() == value.decode()
    elif expected.type == kinds.INTS:
        assert found.ints() == tuple(value or ())
        assert found.count() == len(value or ())
    elif expected.type == kinds.FLOATS:
        np.testing.assert_equal(found.floats(), tuple(value or ()))
    elif expected.type == kinds.STRINGS:
        assert found.strings() == tuple(text.decode() for text in value or ())
    elif expected.type == kinds.TENSOR and value is not None:
        tensor = found.tensor()
        assert tensor is not None
        same_tensor(onnx, tensor, value)
    elif expected.type == kinds.GRAPH:
        graph = found.graph()
        assert graph is not None
        same_graph(onnx, graph, value)


def same_tensor(onnx, found: Tensor, expected) -> None:
    assert (found.name, found.type, found.dims) == (expected.name, expected.data_type, tuple(expected.dims))
    values = found.values(1000)
    if values is not None:
        wanted = onnx.numpy_helper.to_array(expected).ravel().tolist()
        np.testing.assert_equal(list(values), [text.decode() if isinstance(text, bytes) else text for text in wanted])

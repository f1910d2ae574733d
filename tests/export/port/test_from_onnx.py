"""An .onnx file becomes torch code with layers, loops and the graph's own names, proven against the file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.export.port.test_to_torch import Decoder, Seizures
from torch import nn

from onnxpress.export.port.carrying import carry
from onnxpress.export.port.onnx_draft import OnnxDraft
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import resolve

pytestmark = pytest.mark.torch


def exported(module: nn.Module, example: torch.Tensor, path: Path) -> Source:
    file = io.BytesIO()
    axes = {"x": {0: "batch"}}
    torch.onnx.export(module.eval(), (example,), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    path.write_bytes(file.getvalue())
    return resolve(SourceRef(reference=str(path)))


def graph(path: Path, nodes: list[Any], shape: list[Any], tensors: dict[str, Any], opset: int = 20) -> Source:
    """A file with the input x and the output y."""
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=10,
    )
    onnx.save(onnx.shape_inference.infer_shapes(proto), path)
    return resolve(SourceRef(reference=str(path)))


@pytest.mark.filterwarnings("ignore")  # what torch's exporter says of itself
@pytest.mark.parametrize(
    ("build", "example", "lines"),
    [
        (
            Seizures,
            torch.randn(4, 3, 16, generator=torch.Generator().manual_seed(1)),
            [
                "self.lstm = nn.LSTM(8, 6, batch_first=True, bidirectional=True)",
                "states, (hidden, _) = self.lstm(torch.relu(self.conv(x)).permute(0, 2, 1))",
                'return self.outer(F.gelu(self.inner(x), approximate="tanh"))',
            ],
        ),
        (
            Decoder,
            torch.zeros(4, 5, dtype=torch.int64),
            [
                "self.blocks = nn.ModuleList([Block() for _ in range(3)])",
                "self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))",
                "self.norm1 = nn.LayerNorm(8, eps=1e-06)",
                "self.table = nn.Embedding(11, 8)",
            ],
        ),
    ],
)
def test_a_file_becomes_layers_and_every_rung_that_can_be_asked_holds(
    build: Callable[[], nn.Module], example: torch.Tensor, lines: list[str], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    source = exported(build(), example, tmp_path / "net.onnx")
    found = carry(source, to="pytorch", output=tmp_path / "nets.py")
    rungs = {rung.name: rung for rung in found.report.rungs}
    assert [name for name, rung in rungs.items() if rung.holds] == ["answers", "parameters", "gradients"]
    assert "dropout is gone" in rungs["training"].detail
    code = found.code.read_text()
    for line in lines:
        assert line in code
    assert found.weights.name == "nets.safetensors"
    assert json.loads((tmp_path / "nets.port.json").read_text())["to"] == "pytorch"


def drafted(tmp_path: Path) -> tuple[OnnxDraft, Path]:
    generator = np.random.default_rng(0)
    tensors = {
        "conv.weight": generator.standard_normal((4, 2, 3)).astype(np.float32),
        "fc.weight": generator.standard_normal((3, 4)).astype(np.float32),
        "fc.bias": generator.standard_normal(3).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["c"], pads=[1, 1]),
        helper.make_node("Elu", ["c"], ["e"]),
        helper.make_node("GlobalAveragePool", ["e"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], transB=1),
    ]
    draft = OnnxDraft(graph(tmp_path / "net.onnx", nodes, [2, 8], tensors), "w.safetensors")
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    return draft, written


def test_a_sound_file_holds(tmp_path: Path) -> None:
    draft, written = drafted(tmp_path)
    assert [rung.holds for rung in draft.rungs(draft.target(written))] == [True, True, True, None]


@pytest.mark.parametrize(
    ("right", "wrong", "rung"),
    [
        ("F.elu(", "F.selu(", "answers"),
        ("F.elu(self.conv(x))", "F.elu(self.conv(x).detach())", "gradients"),
        ("bias=False", "bias=False, padding_mode='reflect'", "answers"),
        ("return ", "return 0.9999 * ", "answers"),
    ],
)
def test_a_fault_in_the_code_is_caught(right: str, wrong: str, rung: str, tmp_path: Path) -> None:
    draft, written = drafted(tmp_path)
    assert right in draft.code.text
    written.write_text(draft.code.text.replace(right, wrong, 1))
    found = {one.name: one for one in draft.rungs(draft.target(written))}
    assert found[rung].holds is False


def test_a_fault_in_the_weights_is_caught(tmp_path: Path) -> None:
    draft, written = drafted(tmp_path)
    draft.code.state["fc.bias"] = draft.code.state["fc.bias"] + 1e-6
    found = {one.name: one for one in draft.rungs(draft.target(written))}
    assert found["parameters"].holds is False
    assert "fc.bias" in found["parameters"].detail


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_a_file_becomes_keras_code_by_way_of_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = exported(Seizures(), torch.randn(4, 3, 16), tmp_path / "net.onnx")
    found = carry(source, to="tensorflow", output=tmp_path / "nets.py")
    rungs = {rung.name: rung for rung in found.report.rungs}
    assert [name for name, rung in rungs.items() if rung.holds] == ["answers", "parameters", "gradients", "training"]
    assert "slopes of the graph" in rungs["gradients"].detail
    assert "dropout is gone" in rungs["training"].detail
    code = found.code.read_text()
    assert code.startswith('"""net, carried from an .onnx file')
    assert "layers.Bidirectional(" in code
    assert not (tmp_path / "in_torch.py").exists()


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_the_written_file_may_have_any_name(tmp_path: Path) -> None:
    source = exported(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), torch.randn(4, 3), tmp_path / "net.onnx")
    found = carry(source, to="tensorflow", output=tmp_path / "in_torch.py")
    assert "keras" in found.code.read_text()
    assert list(found.report.outputs) == [value.name for value in source.network.graph.output]
    assert all(rung.holds is not False for rung in found.report.rungs)


def node(kind: str, inputs: str, output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


F32 = np.float32
GELU = [node("Div", "x two", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "x c", "d"),
        node("Mul", "d half")]  # fmt: skip
NORM = [node("ReduceMean", "x axes", "m"), node("Sub", "x m", "d"), node("Pow", "d p", "s"),
        node("ReduceMean", "s axes", "v"), node("Add", "v eps", "w"), node("Sqrt", "w", "r"), node("Div", "d r", "n"),
        node("Mul", "n norm.weight", "g"), node("Add", "g norm.bias")]  # fmt: skip
ATTENTION = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "s"), node("Mul", "s scale", "u"),
             node("Softmax", "u", "a"), node("MatMul", "a x")]  # fmt: skip
GRAPHS: dict[str, tuple[list[Any], list[int], dict[str, Any], str]] = {
    "F.gelu(x)": (GELU, [6], {"two": F32(2**0.5), "one": F32(1), "half": F32(0.5)}, "F.gelu(x)"),
    "LayerNorm": (
        NORM,
        [6],
        {"axes": np.array([-1]), "p": F32(2), "eps": F32(1e-4), "norm.weight": np.linspace(1, 2, 6, dtype=F32),
         "norm.bias": np.linspace(0, 1, 6, dtype=F32)},
        "nn.LayerNorm(6, eps=0.0001)",
    ),
    "attention": (ATTENTION, [5, 4], {"scale": F32(0.5)}, "F.scaled_dot_product_attention(x, x, x)"),
    "even padding with strides": (
        [node("Conv", "x w", strides=[2], auto_pad="SAME_UPPER")], [2, 8], {"w": np.ones((2, 2, 3), F32)},
        "F.pad(x, (0, 1))",
    ),
    "average pool that leaves the border out": (
        [node("AveragePool", "x", kernel_shape=[3], pads=[1, 1])], [2, 8], {}, "count_include_pad=False",
    ),
    "a product with its bias": (
        [node("MatMul", "x w", "a"), node("Add", "a b")], [5, 4],
        {"w": np.ones((4, 3), F32), "b": np.arange(3, dtype=F32)},
        "nn.Linear(4, 3)",
    ),
    "a shape that follows the batch": (
        [node("Shape", "x", "s", end=1), node("Concat", "s k", "t", axis=0), node("Reshape", "x t")],
        [2, 6], {"k": np.array([3, 4])}, "x.reshape(-1, 3, 4)",
    ),
    "backwards": (
        [node("Slice", "x a b c d")], [6],
        {"a": np.array([-1]), "b": np.array([-(2**31)]), "c": np.array([1]), "d": np.array([-1])},
        "x.flip(1)",
    ),
    "a resize": (
        [node("Resize", "x  f", mode="linear")], [2, 4, 4], {"f": np.array([1, 1, 2, 2], F32)}, "scale_factor=2",
    ),
}  # fmt: skip
GRAPHS["a resize"][0][0].input[:] = ["x", "", "f"]
GRAPHS["rows of several lengths"] = (
    [
        node("Gather", "x zero", "first", axis=1),
        node("Greater", "first none", "positive"),
        node("Cast", "positive", "ones", to=TensorProto.INT64),
        node("ReduceSum", "ones inner", "count", keepdims=0),
        node("Add", "count one", "longer"),
        node("Cast", "longer", "lengths", to=TensorProto.INT32),
        node("Transpose", "x", "steps", perm=[1, 0, 2]),
        helper.make_node("LSTM", ["steps", "w", "r", "b", "lengths"], ["", "h"], hidden_size=3),
        node("Squeeze", "h zero"),
    ],
    [5, 4],
    {
        "zero": np.array([0]), "none": F32(0), "inner": np.array([1, 2]), "one": np.array([1]),
        "w": np.linspace(-1, 1, 48, dtype=F32).reshape(1, 12, 4), "b": np.linspace(-1, 1, 24, dtype=F32)[None],
        "r": np.linspace(1, -1, 36, dtype=F32).reshape(1, 12, 3),
    },
    "nn.utils.rnn.pack_padded_sequence(",
)  # fmt: skip
GRAPHS["the order of whole numbers, some of them equal"] = (
    [
        node("Cast", "x", "whole", to=TensorProto.INT64),
        helper.make_node("TopK", ["whole", "k"], ["values", "places"]),
        node("Cast", "places", to=TensorProto.FLOAT),
    ],
    [6], {"k": np.array([6])}, "sort(dim=-1, descending=True, stable=True)",
)  # fmt: skip


GRAPHS["backwards in steps, from the middle on"] = (
    [node("Slice", "x a b c d")], [7],
    {"a": np.array([5]), "b": np.array([-8]), "c": np.array([1]), "d": np.array([-2])}, "x.flip(1)[:, 1::2]",
)  # fmt: skip
GRAPHS["places of a block counted before channels, and back"] = (
    [node("DepthToSpace", "x", "d", blocksize=2), node("SpaceToDepth", "d", "s", blocksize=2), node("Add", "s x")],
    [8, 2, 3], {}, ".permute(0, 3, 4, 1, 5, 2)",
)  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_what_an_exporter_takes_apart_is_put_together(name: str, tmp_path: Path) -> None:
    nodes, shape, tensors, line = GRAPHS[name]
    draft = OnnxDraft(graph(tmp_path / "net.onnx", nodes, list(shape), tensors), "w.safetensors")
    assert line in draft.code.text
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    assert all(rung.holds is not False for rung in draft.rungs(draft.target(written)))


MAY_HIDE_ALL = (
    [
        node("Less", "x none", "hidden"), node("ReduceMin", "x shape", "low", keepdims=1),
        node("Less", "low none", "hides"), node("Where", "hides never none", "mask"),
        node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "scores"), node("Mul", "scores half", "s"),
        node("Add", "s mask", "masked"), node("Softmax", "masked", "weights", axis=-1), node("MatMul", "weights x"),
    ],
    [3, 4], {"none": F32(0), "never": F32(-np.inf), "half": F32(0.5), "shape": np.array([2])}, "torch.softmax(",
)  # fmt: skip


def test_logical_operators_take_constants(tmp_path: Path) -> None:
    pairs = [("Xor", "l", "no"), ("And", "yes", "a"), ("Or", "b", "no"), ("Xor", "c", "yes"), ("And", "d", "row")]
    nodes = [helper.make_node(kind, [a, b], [to]) for (kind, a, b), to in zip(pairs, "abcde", strict=True)]
    nodes = [helper.make_node("Less", ["x", "zero"], ["l"]), *nodes, helper.make_node("Cast", ["e"], ["y"], to=1)]
    constants = {"zero": np.float32(0), "no": False, "yes": True, "row": np.array([True, False, True])}
    draft = OnnxDraft(graph(tmp_path / "net.onnx", nodes, [3], constants), "net.safetensors")
    (tmp_path / "net.py").write_text(draft.code.text)
    assert next(iter(draft.rungs(draft.target(tmp_path / "net.py")))).holds
    assert draft.code.text.count("logical_not") + draft.code.text.count("~") == 1


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_attention_whose_mask_may_hide_a_whole_row_answers_no_number_there_as_the_file_does(tmp_path: Path) -> None:
    nodes, shape, tensors, line = MAY_HIDE_ALL
    draft = OnnxDraft(graph(tmp_path / "net.onnx", nodes, list(shape), tensors), "w.safetensors")
    assert line in draft.code.text
    assert "scaled_dot_product_attention" not in draft.code.text
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    assert next(draft.rungs(draft.target(written))).holds


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore")
def test_a_number_spread_over_the_rows_has_the_precision_of_all_else(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "rows", end=1), node("Concat", "rows one", "shape", axis=0),
        node("Expand", "half shape", "spread"), node("Add", "x spread"),
    ]  # fmt: skip
    source = graph(tmp_path / "net.onnx", nodes, [4], {"one": np.array([1]), "half": F32(0.5)})
    found = carry(source, to="tensorflow", output=tmp_path / "nets.py")  # the gradients are asked in float64
    assert "ops.full((ops.shape(x)[0], 1), 0.5, dtype=keras.config.floatx())" in found.code.read_text()


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes", "said"),
    [
        ("Det", "x", {}, "no correspondence of the operator Det"),
        ("GRU", "x w r", {"hidden_size": 2}, "resets before its product"),
        ("Slice", "x a rows c d", {}, "backwards"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_its_node(
    kind: str, inputs: str, attributes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    tensors = {"w": np.ones((1, 6, 3), F32), "r": np.ones((1, 6, 2), F32), "a": np.array([3]), "b": np.array([0]),
               "c": np.array([1]), "d": np.array([-1])}  # fmt: skip
    rows = helper.make_node("Shape", ["x"], ["rows"], end=1)
    nodes = [
        *([rows] if "rows" in inputs else []),
        helper.make_node(kind, inputs.split(), ["y"], name="odd", **attributes),
    ]
    source = graph(tmp_path / "net.onnx", nodes, [3, 3], tensors)
    with pytest.raises(NoCorrespondence, match=said) as caught:
        carry(source, to="pytorch", output=tmp_path / "nets.py")
    assert caught.value.where == "node 'odd'"
    assert not (tmp_path / "nets.py").exists()

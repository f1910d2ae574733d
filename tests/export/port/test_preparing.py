"""What runtimes fuse, what scikit-learn writes and what a file defines itself is read as plain operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxpress.export.port.from_onnx.preparing import prepared
from onnxpress.export.port.onnx_draft import OnnxDraft
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import resolve

pytestmark = pytest.mark.torch
F32, MS, ML = np.float32, "com.microsoft", "ai.onnx.ml"


def drawn(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(F32)


def node(kind: str, inputs: str, output: str = "y", domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), output.split(), name=f"/{output}/{kind}", domain=domain, **attributes)


def saved(path: Path, nodes: list[Any], shape: list[int], tensors: dict[str, Any], opset: int, *more: Any) -> Source:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    answers = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * (len(shape) + 1))]
    if any("label" in one.output for one in nodes):
        answers.append(helper.make_tensor_value_info("label", TensorProto.INT64, [None]))
    domains = [helper.make_opsetid(name, version) for name, version in (("", opset), (MS, 1), (ML, 1), ("mine", 1))]
    graph = helper.make_graph(nodes, "net", [given], answers, held)
    proto = helper.make_model(graph, opset_imports=domains, ir_version=9, functions=list(more))
    onnx.save(onnx.shape_inference.infer_shapes(proto), path)
    return resolve(SourceRef(reference=str(path)))


OWN = helper.make_function(
    "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
)
CLASSES = {"classlabels_ints": [0, 1, 2], "coefficients": drawn(18).tolist(), "intercepts": drawn(3).tolist()}
FILES: dict[str, tuple[list[Any], list[int], dict[str, Any], int, str]] = {
    "convolutions fused with what follows": (
        [
            node("FusedConv", "x w b", "c", MS, activation="LeakyRelu", activation_params=[0.2], pads=[1, 1]),
            node("FusedConv", "c v", "y", MS, activation="Relu"),
        ],
        [3, 8], {"w": drawn(4, 3, 3), "b": drawn(4), "v": drawn(2, 4, 1)}, 17, "F.leaky_relu(",
    ),
    "a transformer's parts": (
        [
            node("FusedMatMul", "x w", "p", MS, alpha=0.5, transB=1), node("BiasGelu", "p b", "g", MS),
            node("FastGelu", "g", "f", MS), node("QuickGelu", "f", "q", MS),
            node("SkipLayerNormalization", "q x s b", "y", MS, epsilon=1e-5),
        ],
        [5, 6], {"w": drawn(6, 6), "b": drawn(6), "s": drawn(6)}, 17, "nn.LayerNorm(6)",
    ),
    "a scaler and a classifier of scikit-learn": (
        [
            node("Scaler", "x", "z", ML, offset=drawn(6).tolist(), scale=drawn(6).tolist()),
            node("LinearClassifier", "z", "label y", ML, post_transform="SOFTMAX", **CLASSES),
        ],
        [6], {}, 17, "nn.Linear(6, 3)",
    ),
    "a function of the file's own": (
        [node("Twice", "x", "t", "mine"), node("MatMul", "t w")], [4], {"w": drawn(4, 2)}, 17, "x + x",
    ),
    "weights in eight bits and in sixteen": (
        [
            node("DequantizeLinear", "w8 s", "w", axis=1), node("Cast", "b16", "b", to=TensorProto.FLOAT),
            node("MatMul", "x w", "p"), node("Add", "p b"),
        ],
        [6], {"w8": np.arange(-9, 9).astype(np.int8).reshape(6, 3), "s": abs(drawn(3)), "b16": drawn(3).astype("f2")},
        17, "nn.Linear(6, 3)",
    ),
    "a batch norm of an older opset, which names its momentum": (
        [node("BatchNormalization", "x s b m v", "y", momentum=0.7, epsilon=1e-3)],
        [3, 4], {"s": drawn(3), "b": drawn(3), "m": drawn(3), "v": abs(drawn(3)) + 0.5}, 9, "momentum=0.3",
    ),
    "a local response norm, and a convolution upwards in groups": (
        [
            node("LRN", "x", "n", size=3, alpha=0.01, beta=0.6, bias=1.5),
            node("ConvTranspose", "n w", "y", strides=[2, 2], group=2, pads=[1, 1, 1, 1]),
        ],
        [4, 5, 6], {"w": drawn(4, 3, 3, 3)}, 17, "local_response_norm(x, 3, alpha=0.01",
    ),
    "a softmax over all axes behind the first": ([node("Softmax", "x")], [3, 4], {}, 11, "flatten(1)"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_it_is_ported_and_proven_against_the_file_as_it_came(name: str, tmp_path: Path) -> None:
    nodes, shape, tensors, opset, line = FILES[name]
    source = saved(tmp_path / "net.onnx", nodes, shape, tensors, opset, *([OWN] if "own" in name else []))
    draft = OnnxDraft(source, "w.safetensors")
    assert line in draft.code.text
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    assert [rung.name for rung in draft.rungs(draft.target(written)) if rung.holds is False] == []


def test_a_plain_file_is_read_as_it_is(tmp_path: Path) -> None:
    source = saved(tmp_path / "net.onnx", [node("Relu", "x")], [4], {}, 17)
    assert prepared(source.network) is source.network


@pytest.mark.parametrize(
    ("kind", "domain", "attributes", "said"),
    [
        ("FusedConv", MS, {"activation": "Odd"}, "the activation 'Odd' has no correspondence"),
        ("LinearClassifier", ML, {"classlabels_strings": ["a", "b"]}, "classes are texts"),
        ("TreeEnsembleRegressor", ML, {}, "is a forest, which has no layers"),
        ("ZipMap", ML, {}, "answers a list of dicts"),
    ],
)
def test_what_has_no_layers_is_refused_by_its_node(kind: str, domain: str, attributes: dict, said: str) -> None:
    graph = helper.make_graph([node(kind, "x w", "y", domain, **attributes)], "net", [], [])
    with pytest.raises(NoCorrespondence, match=said) as caught:
        prepared(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert caught.value.where == f"node '/y/{kind}'" or caught.value.where == f"node /y/{kind}"


@pytest.mark.parametrize("kind", ["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"])
def test_values_that_are_quantised_are_refused_by_their_node(kind: str) -> None:
    graph = helper.make_graph([node(kind, "x w", "y")], "net", [], [])
    with pytest.raises(NoCorrespondence, match=f"{kind} computes with quantised values") as caught:
        prepared(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert "before it was quantised" in str(caught.value.hint)

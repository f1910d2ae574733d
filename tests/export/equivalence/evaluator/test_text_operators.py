"""The numpy evaluation of the steps over strings says what ONNX Runtime says, and refuses what it does not know."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")

from tests.export.graph.steps.step_graph import TEXT, proto  # noqa: E402

from onnxpress.core import processing  # noqa: E402
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated, NumpyGraph  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

STEPS = [
    processing.Words(input="x", output="y", mask="z", vocabulary=["a", "bé", "ü^"], length=3, separators=" -]\\\n,"),
    processing.Words(input="x", output="y", vocabulary=["A", "a"], length=2, fold_case=False, separators="é"),
    processing.Characters(input="x", output="y", alphabet="abé", length=4),
]
PAIRS = [(NumpyGraph(proto(TEXT, step)), Engine.load(proto(TEXT, step).SerializeToString(), self_test=False))
         for step in STEPS]  # fmt: skip
TEXTS = st.text(st.sampled_from("aAbBéÉüÜ^ -]\\\n,猫😀"), max_size=9)


@pytest.mark.parametrize("number", range(len(STEPS)), ids=["words", "cased words", "characters"])
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_the_runtime_says_the_same(number: int, texts: list[str]) -> None:
    evaluated, engine = PAIRS[number]
    x = np.array(texts, object)
    expected, found = engine.run({"x": x}), evaluated.run({"x": x})
    for name, answer in expected.items():
        assert found[name].dtype == answer.dtype == np.int64
        assert found[name].tolist() == answer.tolist()


@pytest.mark.parametrize(
    ("operator", "domain", "attributes"),
    [
        ("Tokenizer", "com.microsoft", {"separators": [" "], "mark": 0, "mincharnum": 1, "pad_value": ""}),
        ("Tokenizer", "com.microsoft", {"tokenexp": "[a-z]+", "mark": 0, "mincharnum": 1, "pad_value": ""}),
        ("Tokenizer", "com.microsoft", {"separators": [""], "mark": 1, "mincharnum": 1, "pad_value": ""}),
        ("StringNormalizer", "", {"case_change_action": "LOWER", "locale": "en_US.UTF-8"}),
        ("StringNormalizer", "", {"case_change_action": "LOWER", "locale": "C", "stopwords": ["a"]}),
    ],
)
def test_what_the_steps_do_not_write_is_not_evaluated(
    operator: str, domain: str, attributes: dict[str, object]
) -> None:
    node = onnx.helper.make_node(operator, ["x"], ["y"], domain=domain, **attributes)
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.STRING, None) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    opsets = [onnx.helper.make_opsetid(name, version) for name, version in (("", 18), ("com.microsoft", 1))]
    evaluated = NumpyGraph(onnx.helper.make_model(graph, opset_imports=opsets))
    with pytest.raises(NotEvaluated, match=operator):
        evaluated.run({"x": np.array(["a b"], object)})

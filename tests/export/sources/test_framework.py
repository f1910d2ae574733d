"""Which framework an object is a model of."""

from __future__ import annotations

import subprocess
import sys

import pytest

from onnxpress.export.sources.framework import framework_of


def test_what_is_no_model_has_no_framework() -> None:
    assert framework_of(3) is None
    assert framework_of(lambda x: x) is None


@pytest.mark.torch
@pytest.mark.tensorflow
def test_models_are_told_by_their_ancestry() -> None:
    torch, keras, tf = (pytest.importorskip(name) for name in ("torch", "keras", "tensorflow"))
    tree = pytest.importorskip("sklearn.tree")
    onnx = pytest.importorskip("onnx")
    linear = torch.nn.Linear(3, 2)
    assert framework_of(linear) == "pytorch"
    assert framework_of(torch.compile(linear)) == "pytorch"
    assert framework_of(torch.jit.script(linear)) == "pytorch"
    assert framework_of(torch.export.export(linear, (torch.ones(2, 3),))) == "pytorch"
    assert framework_of(keras.Sequential([keras.layers.Dense(2)])) == "tensorflow"
    assert framework_of(tf.function(lambda x: x)) == "tensorflow"
    assert framework_of(tree.DecisionTreeClassifier()) == "sklearn"
    assert framework_of(onnx.ModelProto()) == "onnx"


def test_no_framework_is_imported_to_tell() -> None:
    program = (
        "import sys; from onnxpress.export.sources.framework import framework_of; framework_of(object());"
        "print(sorted({'torch', 'tensorflow', 'keras', 'sklearn', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr

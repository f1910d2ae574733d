"""A loaded model's word on its inputs and outputs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.serving import onnx_models

from onnxpress.core.errors import BadModel, CorruptVersion
from onnxpress.core.tensors import parse_spec
from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.signature import agreed, declared, share_rows


def node(name: str, kind: str, shape: list[Any]) -> SimpleNamespace:
    return SimpleNamespace(name=name, type=kind, shape=shape)


def test_open_sizes_bind_nothing_to_another_input() -> None:
    specs = declared([node("a", "tensor(float)", [None, 3]), node("b", "tensor(int64)", [None, "batch"])])
    assert [str(spec) for spec in specs] == ["a:float32[a_0,3]", "b:int64[b_0,batch]"]


@pytest.mark.parametrize("kind", ["seq(tensor(float))", "map(int64,tensor(float))", "tensor(float8e4m3fn)"])
def test_what_cannot_be_served_is_refused_with_its_type(kind: str) -> None:
    with pytest.raises(BadModel, match="'a'"):
        declared([node("a", kind, [1])])


def test_the_manifest_names_dimensions_in_the_models_order() -> None:
    found = [parse_spec("a:float32[a_0,3]"), parse_spec("b:int64[b_0]")]
    promised = [parse_spec("b:int64[batch]"), parse_spec("a:float32[batch,3]")]
    assert agreed(found, promised) == (promised[1], promised[0])
    with pytest.raises(CorruptVersion):
        agreed(found, promised[:1])


@pytest.mark.parametrize(
    ("inputs", "outputs", "shared"),
    [
        (["a:float32[batch,3]", "b:int64[batch]"], ["y:float32[batch,2]"], True),
        (["a:float32[batch,3]", "b:int64[rows]"], ["y:float32[batch,2]"], False),
        (["a:float32[batch,3]"], ["y:float32[]"], False),
        (["a:float32[3,3]"], ["y:float32[3]"], False),
    ],
)
def test_rows_are_one_open_dimension_that_all_share(inputs: list[str], outputs: list[str], shared: bool) -> None:
    assert share_rows([parse_spec(one) for one in inputs], [parse_spec(one) for one in outputs]) is shared


def test_an_input_that_declares_no_shape_is_refused_and_a_single_number_is_not() -> None:
    with pytest.raises(BadModel, match="'x' declares no shape"):
        Engine.load(onnx_models.of_any_rank())
    echo = Engine.load(onnx_models.identity("float32", ""))
    assert echo.inputs[0].shape == ()

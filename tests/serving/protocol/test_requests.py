"""Reading inference requests: what is accepted, and what is said of the rest."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from time import process_time
from typing import Any

import msgspec
import numpy as np
import pytest

from onnxpress.core.tensors import parse_spec
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.strictness import strict

X = "x:float32[batch,2]"
Y = "y:float32[batch]"


def reader(*inputs: str, outputs: tuple[str, ...] = (Y,)) -> Reader:
    return Reader([parse_spec(text) for text in inputs], [parse_spec(text) for text in outputs])


def request(data: Any, shape: Any, *, datatype: str = "FP32", name: str = "x", **more: Any) -> bytes:
    tensor = {"name": name, "shape": shape, "datatype": datatype, "data": data}
    return json.dumps({"inputs": [tensor], **more}).encode()


@contextmanager
def bounded_memory(most: int = 2_000_000) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def array(spec: str, body: bytes) -> np.ndarray[Any, Any]:
    own = reader(spec)
    return strict().run(own.feeds, [own.read(body)])[parse_spec(spec).name]


def refusal(own: Reader, body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        strict().run(lambda: own.feeds([own.read(body)]))
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [1.0, 2.0, 3e0, 4]])
def test_data_flat_or_nested(data: Any) -> None:
    value = array(X, request(data, [2, 2]))
    np.testing.assert_array_equal(value, np.array([[1, 2], [3, 4]], np.float32))
    assert value.dtype == np.float32


def test_null_is_nan() -> None:
    np.testing.assert_array_equal(array(X, request([None, 1], [1, 2])), np.array([[np.nan, 1]], np.float32))


@pytest.mark.parametrize(
    ("spec", "datatype", "data"),
    [
        ("x:bool[n]", "BOOL", [True, False]),
        ("x:int8[n]", "INT8", [-128, 127]),
        ("x:uint64[n]", "UINT64", [0, 2**64 - 1]),
        ("x:int64[n]", "INT64", [-(2**63), 2**63 - 1]),
        ("x:float16[n]", "FP16", [0.5, -65504]),
        ("x:float64[n]", "FP64", [1e300, -1e-300]),
        ("x:string[n]", "BYTES", ["", "naïve ☃"]),
    ],
)
def test_every_datatype_at_its_ends(spec: str, datatype: str, data: list[Any]) -> None:
    value = array(spec, request(data, [len(data)], datatype=datatype))
    assert value.tolist() == data
    assert value.dtype == (object if "string" in spec else parse_spec(spec).dtype)


def test_bool_may_be_written_as_0_and_1() -> None:
    assert array("x:bool[n]", request([1, 0], [2], datatype="BOOL")).tolist() == [True, False]


@pytest.mark.parametrize(
    ("spec", "shape", "data"),
    [
        ("x:float32[]", [], [5]),
        ("x:float32[n,2]", [0, 2], []),
        ("x:float32[n,m]", [3, 0], []),
        ("x:float32[1]", [1], [5]),
    ],
)
def test_scalars_and_empty_tensors(spec: str, shape: list[int], data: list[float]) -> None:
    assert array(spec, request(data, shape)).shape == tuple(shape)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"more":' + b"[" * 100_000, "not JSON: maximum recursion depth"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs":[]}', r"'x' is missing; the model takes x:float32[batch,2]"),
        (b'{"inputs":[{"name":"x"}]}', "`$.inputs[0]`"),
        (request([1, 2], [1, 2], name="z"), 'no input "z"; the model takes: x'),
        (request([1, 2], [1, 2], name="z" * 9999), "…"),
        (request([1, 2], [1, 2], datatype="FP64"), 'datatype "FP64"; it must be FP32'),
        (request([1, 2], [1, 3]), "axis 1 is 3, but it must be 2"),
        (request([1, 2], [2]), "it must have 2 axes"),
        (request([1, 2], [-1, 2]), "cannot be negative"),
        (request([1, 2], [-1, -2]), "cannot be negative"),
        (request([1, 2], [1, 2.5]), "Expected `int`"),
        (request([1, 2, 3], [1, 2]), "has 3 values; its shape [1, 2] wants 2"),
        (request([[1, 2], [3]], [2, 2]), "nested data of 'x' do not have the shape"),
        (request([[1], [2]], [1, 2]), "nested data of 'x' do not have the shape"),
        (request([[[1]], [[2]]], [2, 1]), "axis 1 is 1, but it must be 2"),
        (request(["1", 2], [1, 2]), 'hold "1", which is no FP32'),
        (request([True, 2], [1, 2]), "hold true, which is no FP32"),
        (request(7, [1, 2]), "must be an array, not 7"),
        (request([1e39, 2], [1, 2]), "do not fit FP32: overflow"),
        (request([1, 2], [1, 2], id=7), "Expected `str | null`, got `int`"),
        (request([1, 2], [1, 2], outputs=[{"name": "z"}]), 'no output "z"; the model answers: y'),
        (request([1, 2], [1, 2], outputs=[{"name": "y"}] * 2), "asked for twice"),
    ],
)  # fmt: skip
def test_every_mistake_is_named(body: bytes, said: str) -> None:
    message = refusal(reader(X), body)
    assert said in message
    assert len(message) < 400


@pytest.mark.parametrize("data", [[300], [-1], [1.5], [10**30], [None]])
def test_integers_must_fit(data: list[Any]) -> None:
    assert "UINT8" in refusal(reader("x:uint8[n]"), request(data, [1], datatype="UINT8"))


def test_an_integer_of_thousands_of_digits_is_refused() -> None:
    body = request([7], [1], datatype="INT64").replace(b"[7]", b"[" + b"9" * 5000 + b"]")
    assert "INT64" in refusal(reader("x:int64[n]"), body) or "not JSON" in refusal(reader("x:int64[n]"), body)


def two(first: list[int], second: list[int]) -> bytes:
    tensors = [
        {"name": name, "shape": shape, "datatype": "INT64", "data": [0] * int(np.prod(shape))}
        for name, shape in (("ids", first), ("mask", second))
    ]
    return json.dumps({"inputs": tensors[::-1]}).encode()


def test_several_inputs_in_any_order_share_their_named_dimensions() -> None:
    own = reader("ids:int64[batch,length]", "mask:int64[batch,length]")
    inputs = own.read(two([2, 3], [2, 3]))
    assert (inputs.rows, inputs.size, inputs.tails) == (2, 12, ((3,), (3,)))
    assert "axis 1 is 4, but 'length' is 3 elsewhere" in refusal(own, two([2, 3], [2, 4]))
    twice = json.loads(two([1, 1], [1, 1]))
    twice["inputs"].append(twice["inputs"][0])
    assert "given twice" in refusal(own, json.dumps(twice).encode())


@pytest.mark.parametrize(
    ("inputs", "outputs", "has_rows"),
    [
        (["x:float32[batch,2]"], ["y:float32[batch]"], True),
        (["x:float32[batch,2]", "scale:float32[]"], ["y:float32[batch]"], False),
        (["x:float32[batch,2]", "z:float32[other,2]"], ["y:float32[batch]"], False),
        (["x:float32[batch,2]"], ["mean:float32[]"], False),
        (["x:float32[1,2]"], ["y:float32[1]"], False),
    ],
)
def test_rows_are_put_together_only_where_every_tensor_has_them(
    inputs: list[str], outputs: list[str], has_rows: bool
) -> None:
    assert reader(*inputs, outputs=tuple(outputs)).has_rows is has_rows


def test_a_batch_is_the_rows_one_after_the_other() -> None:
    own = reader(X)
    batch = [own.read(request(data, [len(data) // 2, 2])) for data in ([1, 2], [], [3, 4, 5, 6])]
    assert own.feeds(batch)["x"].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_unknown_fields_are_ignored_and_parameters_accepted() -> None:
    body = request([1, 2], [1, 2], id="a", parameters={"binary_data_output": False}, more=[1])
    assert reader(X).read(body).id == "a"


HUGE = [1 << 26, 1 << 27, 1 << 46, 1 << 63, 1 << 64, 10**30]


@pytest.mark.parametrize("rows", HUGE)
@pytest.mark.parametrize(
    ("spec", "datatype", "row"),
    [
        ("x:float32[n,4]", "FP32", [1, 2, 3, 4]),
        ("x:float16[n,4]", "FP16", [1, 2, 3, 4]),
        ("x:int64[n,1]", "INT64", [1]),
        ("x:uint8[n,m]", "UINT8", [1]),
        ("x:bool[n,2]", "BOOL", [True, False]),
        ("x:string[n,1]", "BYTES", ["a"]),
    ],
)
@pytest.mark.parametrize("nested", [True, False])
def test_a_shape_that_promises_more_than_came_costs_nothing(
    rows: int, spec: str, datatype: str, row: list[Any], nested: bool
) -> None:
    own = reader(spec)
    body = request([row] if nested else row, [rows, len(row)], datatype=datatype)
    with bounded_memory():
        assert "too few values" in refusal(own, body)


@pytest.mark.parametrize("rows", HUGE)
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_a_shape_that_promises_more_bytes_than_came_costs_nothing(rows: int, datatype: str) -> None:
    own = reader("x:string[n]" if datatype == "BYTES" else "x:float32[n]")
    tensor = {"name": "x", "shape": [rows], "datatype": datatype, "parameters": {"binary_data_size": 0}}
    body = json.dumps({"inputs": [tensor]}).encode()
    with bounded_memory(), pytest.raises(Refusal, match="too few values"):
        own.read_binary(body, len(body))


def test_bytes_need_four_bytes_for_each_value() -> None:
    own = reader("x:string[n]")
    tensor = {"name": "x", "shape": [200_000], "datatype": "BYTES", "parameters": {"binary_data_size": 400_000}}
    body = json.dumps({"inputs": [tensor]}).encode()
    with bounded_memory(), pytest.raises(Refusal, match="400000 bytes, too few for 200000 values"):
        own.read_binary(body + bytes(400_000), len(body))


def test_a_tensor_of_no_values_promises_no_rows_that_did_not_come() -> None:
    own = reader("x:int64[batch,words]")
    assert "too few values" in refusal(own, request([], [1 << 16, 0], datatype="INT64"))
    own.read(request([], [2, 0], datatype="INT64"))
    # What the model itself says is no promise of the caller.
    reader("x:float32[n,3,224,224]").read(request([], [0, 3, 224, 224]))


def test_a_shape_of_many_axes_is_not_multiplied() -> None:
    own = reader("x:float32[n,4]")
    text = b'{"inputs":[{"name":"x","shape":[%b],"datatype":"FP32","data":[%b]}]}'
    body = text % (b",".join([b"9223372036854775807"] * 200_000), b"1," * 20_000 + b"1")
    started = process_time()
    assert "must have 2 axes" in refusal(own, body)
    body = text % (b",".join([b"1"] * 200_000), b"[" * 100 + b"1" * 20_000 + b"]" * 100)
    assert "must have 2 axes" in refusal(own, body)
    assert process_time() - started < 5


@pytest.mark.parametrize("depth", [100, 990, 100_000])
def test_data_nested_too_deep_are_refused(depth: int) -> None:
    nested = b"[" * depth + b"1" + b"]" * depth
    refusal(reader(X), b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":%b}]}' % nested)
    refusal(reader("x:string[n]"), b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":%b}]}' % nested)


@pytest.mark.parametrize("shape", ["batch,2", "batch,width"])
def test_null_is_refused_where_nan_is(shape: str) -> None:
    spec = parse_spec(f"x:float32[{shape}]")
    own = Reader([msgspec.structs.replace(spec, refuses=("nan",))], [parse_spec(Y)])
    for data in ([None, 1], [[None, 1]], [1, None]):
        assert "holds NaN" in refusal(own, request(data, [1, 2]))
    wide = Reader([msgspec.structs.replace(spec, refuses=("infinity",))], [parse_spec(Y)])
    assert wide.feeds([wide.read(request([None, 1], [1, 2]))])["x"].shape == (1, 2)


@pytest.mark.parametrize("first", ["m", "a"])
def test_a_size_that_is_a_sum_of_others_is_held_to_it(first: str) -> None:
    specs = {"a": "a:FP32[past]", "b": "b:FP32[new]", "m": "m:FP32[past+new]"}
    order = [specs.pop(first), *specs.values()]
    own = reader(*(text.replace("FP32", "float32") for text in order), outputs=("y:float32[past+new]",))

    def body(size: int) -> bytes:
        sizes = {"a": 2, "b": 1, "m": size}
        inputs = [
            {"name": name, "datatype": "FP32", "shape": [count], "data": [0.5] * count} for name, count in sizes.items()
        ]
        return json.dumps({"inputs": inputs}).encode()

    own.read(body(3))
    assert "past+new, which is 3" in refusal(own, body(4))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'"parameters":{%b}' % b",".join([b'"p%d":0' % number for number in range(150_000)]), "the parameters have"),
        (b'"outputs":[{"name":"y","parameters":{"a":"%b"}}]' % (b"a" * (1 << 20)), "the parameters have"),
        (b'"id":%b1' % (b" " * (1 << 20)), "not an inference request"),
    ],
)
def test_what_is_no_values_is_small(text: bytes, said: str) -> None:
    """It would be read in one step, and keep all others waiting."""
    reader = Reader([parse_spec("x:float32[n]")], [parse_spec("y:float32[n]")])
    body = b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],%b}' % text
    with pytest.raises(Refusal, match=said):
        reader.read(body)
    inputs = b",".join([b'{"name":"x","shape":[1],"datatype":"FP32","data":[1]}'] * 30_000)
    with pytest.raises(Refusal, match="there are 30000 inputs; the model takes 1"):
        reader.read(b'{"inputs":[%b]}' % inputs)

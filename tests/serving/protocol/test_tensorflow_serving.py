"""TensorFlow Serving's REST format over HTTP: rows and columns, strings, metadata, and every refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.harness import Client, Running, ask, request, serving
from tests.serving.onnx_models import identity, mixed, model, node, plain, publish, publish_affine

from onnxpress.core.tensors import parse_spec
from onnxpress.serving.protocol import tensor_data, tensorflow_serving
from onnxpress.serving.protocol.literals import marked
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import LARGE, Reader
from onnxpress.serving.protocol.tensorflow_serving import read

MIXED = (
    ["a:float32[batch,2]", "b:float32[batch,2]", "s:string[batch]"],
    ["y:float32[batch,2]", "a_again:float32[batch,2]", "b_again:float32[batch,2]", "s_again:string[batch]"],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    publish_affine(folder)
    publish_affine(folder, offset=1)
    reduce = [node("ReduceSum", ["x"], ["y"], keepdims=0)]
    plain(folder, "total", model(reduce, ["x:float32[batch,3]"], ["y:float32[]"]))
    publish(folder, "mixed", mixed(), *MIXED)
    for dtype in ("bool", "int8", "int64", "uint64", "float64", "string"):
        plain(folder, dtype, identity(dtype, "batch"))
    with serving(folder, versions="all") as found:
        yield found


def predict(server: Running, model: str, document: Any) -> tuple[int, Any]:
    reply = ask(server.port, "POST", f"/v1/models/{model}:predict", json.dumps(document).encode())
    assert reply.headers["content-type"] == "application/json"
    return reply.status, reply.json()


def test_rows_and_columns(server: Running) -> None:
    rows = [[1, 2, 3], [0, 0, 0]]
    assert predict(server, "affine", {"instances": rows}) == (200, {"predictions": [[7, 7], [1, 1]]})
    assert predict(server, "affine", {"instances": [{"x": row} for row in rows]})[1]["predictions"] == [[7, 7], [1, 1]]
    assert predict(server, "affine", {"inputs": rows}) == (200, {"outputs": [[7, 7], [1, 1]]})
    assert predict(server, "affine", {"inputs": {"x": rows}, "signature_name": "serving_default"})[0] == 200
    assert predict(server, "affine/versions/1", {"instances": rows})[1]["predictions"] == [[6, 6], [0, 0]]


def test_several_inputs_and_outputs(server: Running) -> None:
    row = {"a": [1, 2], "b": [3, 4], "s": {"b64": "w6Q="}}
    answer = {"y": [4, 6], "a_again": [1, 2], "b_again": [3, 4], "s_again": "ä"}
    assert predict(server, "mixed", {"instances": [row, row]}) == (200, {"predictions": [answer, answer]})
    columns = {"a": [[1, 2]], "b": [[3, 4]], "s": ["x"]}
    status, found = predict(server, "mixed", {"inputs": columns})
    assert (status, found["outputs"]["y"], found["outputs"]["s_again"]) == (200, [[4, 6]], ["x"])


def test_many_at_once_share_runs_and_get_their_own_rows(server: Running) -> None:
    with Client(server.port) as client:
        bodies = [json.dumps({"instances": [[number, 0, 0]] * (1 + number % 3)}).encode() for number in range(40)]
        client.send(b"".join(request("POST", "/v1/models/affine:predict", body) for body in bodies))
        for number in range(40):
            assert client.reply().json() == {"predictions": [[number + 1] * 2] * (1 + number % 3)}


@pytest.mark.parametrize(
    ("model", "document", "sentence"),
    [
        ("affine", {}, "either instances or inputs"),
        ("affine", {"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]}, "either instances or inputs"),
        ("affine", {"instances": []}, "no instances"),
        ("affine", {"instances": 5}, "not a predict request"),
        ("affine", {"instances": [[1, 2]]}, "axis 1 is 2, but it must be 3"),
        ("affine", {"instances": [[1, 2, 3], [1]]}, "lists differ in length"),
        ("affine", {"instances": [[1, 2, "3"]]}, "are no float32"),
        ("affine", {"instances": [[True, False, True]]}, "are no float32"),
        ("affine", {"instances": [[1, 2, None]]}, "are no float32"),
        ("affine", {"instances": [[1, 2, 1e300]]}, "make no float32 tensor"),
        ("affine", {"inputs": {"z": [[1, 2, 3]]}}, "give each by its name"),
        ("affine", {"instances": [[1, 2, 3]], "signature_name": "other"}, "there is no signature 'other'"),
        ("mixed", {"instances": [{"a": [1, 2]}]}, "every instance must be an object with a, b, s"),
        ("mixed", {"inputs": {"a": [[1, 2]]}}, "give each by its name"),
        ("mixed", {"inputs": {"a": [[1, 2]], "b": [[1, 2]], "s": ["x", "y"]}}, "'batch' is 1 elsewhere"),
        ("int8", {"instances": [128]}, "make no int8 tensor"),
        ("int8", {"instances": [1.5]}, "are no int8"),
        ("bool", {"instances": [1]}, "are no bool"),
        ("int8", {"instances": [True]}, "are no int8: true is among them"),
        ("int8", {"instances": [-1.0]}, "are no int8"),
        ("int64", {"instances": [2**63]}, "beyond its range"),
        ("int64", {"instances": [1.0]}, "are no int64"),
        ("uint64", {"instances": [-1]}, "beyond its range"),
        ("uint64", {"instances": [2**64]}, "beyond its range"),
        ("int64", {"instances": [float("nan")]}, 'are no int64: "NaN" is among them'),
        ("string", {"instances": [float("nan")]}, "are no string"),
        ("affine", {"instances": [["NaN", 1, 2]]}, "are no float32"),
        ("affine", {"instances": [{"x": [1, 2, 3]}, [1, 2, 3]]}, "every instance must be an object with x"),
        ("affine", {"instances": [{"x": [1, 2, 3], "z": 1}]}, "every instance must be an object with x"),
        ("affine", {"instances": [{"b64": "AAAA"}]}, "are no float32"),
        ("affine", {"instances": [[1, 2, 3]], "signature_name": 5}, "not a predict request"),
        ("total", {"instances": [[1, 2, 3]]}, "ask with inputs, not instances"),
        ("string", {"instances": [1]}, "are no strings: 1 is among them"),
        ("string", {"instances": [["a"], "b"]}, "lists differ in length"),
        ("string", {"instances": [{"b64": 5}]}, "not base64"),
        ("string", {"instances": [{"b64": "AAAA", "x": 1}]}, ""),
        ("string", {"instances": [{"b64": "!"}]}, "not base64"),
        ("nobody", {"instances": [1]}, "there is no model 'nobody'"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    server: Running, model: str, document: Any, sentence: str
) -> None:
    status, answer = predict(server, model, document)
    assert status == (404 if model == "nobody" else 400)
    assert sentence in answer["error"]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5))
def test_large_integers_are_exact(server: Running, numbers: list[int]) -> None:
    assert predict(server, "uint64", {"instances": numbers}) == (200, {"predictions": numbers})
    signed = [number - 2**63 for number in numbers]
    assert predict(server, "int64", {"inputs": signed}) == (200, {"outputs": signed})
    assert predict(server, "uint64", {"instances": [{"x": number} for number in numbers]})[1]["predictions"] == numbers


def test_nan_and_infinity_as_clients_of_tensorflow_serving_write_them(server: Running) -> None:
    for words in ("[NaN, Infinity, -Infinity, 1]", "[NaN,Inf,-Inf,1.0]", "[-NaN , Infinity , -Inf, 1e0]"):
        body = f'{{"instances":{words}}}'.encode()
        reply = ask(server.port, "POST", "/v1/models/float64:predict", body)
        assert (reply.status, reply.json()) == (200, {"predictions": [None, None, None, 1]})
    reply = ask(server.port, "POST", "/v1/models/string:predict", b'{"instances":["NaN","-Infinity \\" Inf"]}')
    assert reply.json() == {"predictions": ["NaN", '-Infinity " Inf']}
    for bad in (b"[NaN", b"[nan]", b"[NaNa]", b"[+Infinity]", b"[Infinite]", b'["NaN]', b"[INF]", b"[1NaN]"):
        assert ask(server.port, "POST", "/v1/models/float64:predict", b'{"instances":%b}' % bad).status == 400


def test_bytes_that_are_no_json(server: Running) -> None:
    for body in (b"", b"{", b"\xff", b"[" * 100_000):
        assert ask(server.port, "POST", "/v1/models/affine:predict", body).status == 400


def test_status_and_metadata(server: Running) -> None:
    rows = ask(server.port, "GET", "/v1/models/affine").json()["model_version_status"]
    assert [(row["version"], row["state"]) for row in rows] == [("2", "AVAILABLE"), ("1", "AVAILABLE")]
    assert len(ask(server.port, "GET", "/v1/models/affine/versions/1").json()["model_version_status"]) == 1
    found = ask(server.port, "GET", "/v1/models/affine/metadata").json()
    assert found["model_spec"] == {"name": "affine", "signature_name": "", "version": "2"}
    x = found["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in x["tensor_shape"]["dim"]] == ["-1", "3"]


def test_other_paths(server: Running) -> None:
    assert ask(server.port, "GET", "/v1/models/affine:predict").status == 405
    assert ask(server.port, "POST", "/v1/models/affine:classify").status == 400
    assert ask(server.port, "GET", "/v1/models/affine/other").status == 404
    assert ask(server.port, "GET", "/v1/models/affine/versions/9").status == 404


def test_texts_nested_deeper_than_the_model_says_are_refused() -> None:
    reader = Reader([parse_spec("x:string[n]")], [parse_spec("y:float32[n]")])
    for depth in (2, 400, 900):
        with pytest.raises(Refusal):
            read(reader, b'{"instances":%b"a"%b}' % (b"[" * depth, b"]" * depth))
    assert read(reader, b'{"instances":["a",{"b64":"Yg=="}]}').shapes == [[2]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "s", "b64"]), inner, max_size=3),
    max_leaves=8,
)
ONE_AND_MANY = [
    Reader([parse_spec("a:float32[n,2]")], [parse_spec("y:float32[n]")]),
    Reader([parse_spec("a:uint8[n]"), parse_spec("s:string[n]")], [parse_spec("y:float32[n]")]),
    Reader([parse_spec("a:bool[]")], [parse_spec("y:float32[]")], [parse_spec("s:string[k]")]),
]


@given(
    reader=st.sampled_from(ONE_AND_MANY),
    document=JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(("instances", "inputs", "signature_name"), JSON)),
)
def test_anything_is_read_or_refused(reader: Reader, document: Any) -> None:
    try:
        inputs = read(reader, json.dumps(document).encode())
    except Refusal:
        return
    feeds = reader.feeds([inputs])
    for spec, shape in zip(reader.specs, inputs.shapes, strict=True):
        assert list(feeds[spec.name].shape) == shape


@pytest.mark.parametrize("blanks", [0, LARGE])
def test_a_size_that_is_a_sum_of_others_is_held_to_it(blanks: int) -> None:
    specs = [parse_spec(text) for text in ("a:float32[past]", "b:float32[new]", "m:float32[past+new]")]
    own = Reader(specs, [parse_spec("y:float32[past+new]")])

    def body(size: int) -> bytes:
        return b" " * blanks + json.dumps({"inputs": {"a": [1.5, 2.5], "b": [0.5], "m": [0.0] * size}}).encode()

    assert read(own, body(3)).shapes == [[2], [1], [3]]
    with pytest.raises(Refusal, match=r"past\+new, which is 3"):
        read(own, body(4))


def large_columns(**more: Any) -> bytes:
    rows = ",".join(["[1,2]"] * (LARGE // 4))
    rest = "".join(f',"{name}":{text}' for name, text in more.items())
    return f'{{"inputs":{{"a":[{rows}]{rest}}}}}'.encode()


def test_nothing_large_becomes_objects_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others would wait for it, and an object is ten times its text."""
    decoded = tensorflow_serving.decoded

    def short(text: bytes, kind: Any = Any) -> Any:
        assert len(text) < LARGE
        return decoded(text, kind)

    monkeypatch.setattr(tensorflow_serving, "decoded", short)
    monkeypatch.setattr(tensor_data, "marked", lambda text: marked(text) if len(text) < LARGE else pytest.fail("large"))
    two = Reader([parse_spec("a:float32[n,2]"), parse_spec("b:float32[]")], [parse_spec("y:float32[n,2]")])
    inputs = read(two, large_columns(b="NaN"))
    assert inputs.shapes == [[LARGE // 4, 2], []]
    assert np.isnan(inputs.values[1]).all()
    with pytest.raises(Refusal, match="give each by its name"):
        read(two, large_columns())
    with pytest.raises(Refusal, match="give each by its name"):
        read(two, large_columns(b="1", c="2"))
    one = Reader([parse_spec("a:float32[n,2]")], [parse_spec("y:float32[n,2]")])
    nan = f'{{"instances":[{",".join(["[NaN,-Infinity]"] * (LARGE // 8))}]}}'.encode()
    (values,) = read(one, nan).values
    assert np.isnan(values[::2]).all()
    assert np.isneginf(values[1::2]).all()
    assert read(one, large_columns()).shapes == [[LARGE // 4, 2]]


def test_a_large_request_gives_inputs_with_a_default_too() -> None:
    reader = Reader([parse_spec("a:float32[n,2]")], [parse_spec("y:float32[n,2]")], [parse_spec("d:float32[1]")])
    inputs = read(reader, large_columns(d="[5]"))
    assert inputs.overrides is not None
    assert inputs.overrides["d"].tolist() == [5.0]


def test_a_name_may_have_a_colon_and_end_like_a_verb(tmp_path: Path) -> None:
    for name in ("a", "a:predict", "b:c"):
        plain(tmp_path, name, identity("float32", "n"))
    with serving(tmp_path) as server:
        for name in ("a", "a:predict", "b:c"):
            for path in (name, f"{name}/versions/1"):
                reply = ask(server.port, "POST", f"/v1/models/{path}:predict", b'{"inputs":[1,2]}')
                assert reply.json() == {"outputs": [1.0, 2.0]}
                assert ask(server.port, "GET", f"/v1/models/{path}").json()["name"] == name
            assert ask(server.port, "GET", f"/v1/models/{name}/metadata").json()["model_spec"]["name"] == name
        # What could be either is what its method says.
        assert ask(server.port, "POST", "/v1/models/a:predict", b'{"inputs":[1,2]}').status == 200
        assert ask(server.port, "POST", "/v1/models/a:explain", b"{}").status == 404
        assert ask(server.port, "GET", "/v1/models/none:predict").status == 405

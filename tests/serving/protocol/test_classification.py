"""Classification: the best classes as texts, row by row, alone and in a batch, as JSON and as bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.serving.harness import Client, Running, ask, request, serving
from tests.serving.onnx_models import identity, plain, publish

from onnxpress.core.tensors import FLOATS, parse_spec
from onnxpress.serving.protocol.classification import best
from onnxpress.serving.protocol.datatypes import DATATYPE_OF

LABELS = ["cat", "dog", ""]
SCORES = [dtype for dtype in DATATYPE_OF if dtype not in {"string", "bool", "bfloat16"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    spec = "float32[batch,4]"
    version = publish(folder, "pets", identity("float32", "batch,4"), [f"x:{spec}"], [f"y:{spec}"])
    manifest = version / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"labels": {"y": LABELS}}))
    plain(folder, "fixed", identity("int64", "2,2"))
    plain(folder, "half", identity("float16", "batch,2"))
    with serving(folder) as found:
        yield found


def body(data: Any, shape: list[int], count: int, datatype: str = "FP32", **more: Any) -> bytes:
    tensor = {"name": "x", "shape": shape, "datatype": datatype, "data": data}
    wanted = {"name": "y", "parameters": {"classification": count, **more}}
    return json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()


def asked(server: Running, model: str, content: bytes) -> Any:
    reply = ask(server.port, "POST", f"/v2/models/{model}/infer", content)
    assert reply.status == 200, reply.body
    (output,) = reply.json()["outputs"]
    return output


def test_the_best_of_each_row_with_their_labels(server: Running) -> None:
    found = asked(server, "pets", body([0.25, 0.5, 0.125, 0, 1, 2, 3, 4e9], [2, 4], 3))
    assert found == {
        "name": "y",
        "datatype": "BYTES",
        "shape": [2, 3],
        "data": [
            "0.500000:1:dog", "0.250000:0:cat", "0.125000:2",
            "4000000000.000000:3", "3.000000:2", "2.000000:1:dog",
        ],
    }  # fmt: skip


def test_more_classes_than_there_are(server: Running) -> None:
    assert asked(server, "pets", body([1, 2, 3, 4], [1, 4], 1 << 31))["shape"] == [1, 4]


def test_a_model_without_rows_is_one_row_of_all(server: Running) -> None:
    assert asked(server, "fixed", body([1, 9, 9, -3], [2, 2], 2, "INT64"))["data"] == ["9:1", "9:2"]
    assert asked(server, "fixed", body([1, 9, 9, -3], [2, 2], 2, "INT64"))["shape"] == [2]


def test_half_floats_and_what_is_no_number(server: Running) -> None:
    assert asked(server, "half", body([None, 1.5], [1, 2], 2, "FP16"))["data"] == ["1.500000:1", "nan:0"]


def test_as_bytes(server: Running) -> None:
    reply = ask(server.port, "POST", "/v2/models/pets/infer", body([0, 0, 0, 1], [1, 4], 2, binary_data=True))
    length = int(reply.headers["inference-header-content-length"])
    (output,) = json.loads(reply.body[:length])["outputs"]
    texts = [b"1.000000:3", b"0.000000:0:cat"]
    assert reply.body[length:] == b"".join(struct.pack("<I", len(text)) + text for text in texts)
    size = len(reply.body) - length
    assert output == {"name": "y", "datatype": "BYTES", "shape": [1, 2], "parameters": {"binary_data_size": size}}


def test_many_at_once_get_their_own(server: Running) -> None:
    with Client(server.port) as client:
        rows = [[number % 5, 1, number % 3, 2] for number in range(40)]
        bodies = [body(row, [1, 4], 1 + number % 4) for number, row in enumerate(rows)]
        client.send(b"".join(request("POST", "/v2/models/pets/infer", one) for one in bodies))
        for number, row in enumerate(rows):
            (output,) = client.reply().json()["outputs"]
            order = sorted(range(4), key=lambda index: (-row[index], index))[: 1 + number % 4]
            assert [int(text.split(":")[1]) for text in output["data"]] == order


@given(
    data=st.data(),
    dtype=st.sampled_from(SCORES),
    shape=arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    count=st.integers(1, 6),
    rows=st.booleans(),
)
def test_as_sorting_by_hand_says(data: st.DataObject, dtype: str, shape: Any, count: int, rows: bool) -> None:
    rows = rows and bool(shape)
    answer = data.draw(arrays.arrays(dtype, shape))
    spec = parse_spec(f"y:{dtype}[{','.join(f'd{axis}' for axis in range(len(shape)))}]")
    found = best(spec, answer, count, [], rows=rows)
    tables = [row.ravel().tolist() for row in answer] if rows else [answer.ravel().tolist()]
    wanted = []
    for table in tables:
        order = sorted(
            range(len(table)), key=lambda i: (table[i] != table[i], 0 if table[i] != table[i] else -table[i], i)
        )
        form = "%f" if dtype in FLOATS else "%d"
        wanted.append([f"{form % table[index]}:{index}" for index in order[:count]])
    assert found.tolist() == (wanted if rows else wanted[0])
    width = int(np.prod(shape[1:], dtype=int)) if rows else answer.size
    assert found.shape == ((len(answer), min(count, width)) if rows else (min(count, width),))


def test_a_probability_alone_has_no_label_of_its_own() -> None:
    spec = parse_spec("probability:float32[batch]")
    found = best(spec, np.array([0.5, 1], np.float32), 1, ["healthy", "sick"], rows=True)
    assert found.tolist() == [["0.500000:0"], ["1.000000:0"]]


def test_the_labels_are_the_manifests(tmp_path: Path, server: Running) -> None:
    assert ask(server.port, "GET", "/v2/models/pets").json()["parameters"]["labels"] == {"y": LABELS}

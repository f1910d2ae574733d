"""The onnx package's own node cases over HTTP: what runs in process answers the same in JSON and as bytes."""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.serving.harness import Client, Reply, request, running

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.batching.batcher import Batcher
from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.dtypes import array_dtype
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol.binary import from_bytes, to_bytes
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.service import Service

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx", reason="the node cases come with the onnx package")
_EPSILONS = 8
"""of the output's scale: the runtime's sums depend on where in memory an input lies, and bytes lie where the body is"""
_PARTS = 13
"""tests that share the cases, so that the time limit of a test is one on a few cases; odd, for every second is a model
written out in simpler operators"""


@functools.cache
def node_cases() -> list[Any]:
    """Every case of the package, in its order."""
    from onnx.backend.test.loader import load_model_tests

    return list(load_model_tests(kind="node"))


def given(engine: Engine, case: Any) -> dict[str, Array]:
    feeds = {}
    for spec, value in zip(engine.inputs, case.data_sets[0][0], strict=False):
        array = onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
        if spec.dtype == "string":
            texts = [text.decode() if isinstance(text, bytes) else text for text in array.ravel().tolist()]
            array = np.array(texts, object).reshape(array.shape)
        feeds[spec.name] = array.astype(array_dtype(spec.dtype))
    return feeds


def as_json(feeds: dict[str, Array], specs: list[TensorSpec]) -> bytes | None:
    """None where an infinity stands in the way."""
    tensors = []
    for spec in specs:
        flat = [None if value != value else value for value in feeds[spec.name].ravel().tolist()]
        if any(isinstance(value, float) and math.isinf(value) for value in flat):
            return None
        shape = feeds[spec.name].shape
        tensors.append({"name": spec.name, "datatype": DATATYPE_OF[spec.dtype], "shape": shape, "data": flat})
    return request("POST", "/v2/models/m/infer", json.dumps({"inputs": tensors}).encode())


def as_bytes(feeds: dict[str, Array], specs: list[TensorSpec]) -> bytes:
    contents = [to_bytes(spec.dtype, feeds[spec.name]) for spec in specs]
    tensors = [
        {"name": spec.name, "datatype": DATATYPE_OF[spec.dtype], "shape": feeds[spec.name].shape,
         "parameters": {"binary_data_size": len(content)}}
        for spec, content in zip(specs, contents, strict=True)
    ]  # fmt: skip
    text = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    headers = [f"inference-header-content-length: {len(text)}"]
    return request("POST", "/v2/models/m/infer", text + b"".join(contents), headers)


def answers(reply: Reply, specs: list[TensorSpec]) -> dict[str, Array]:
    assert reply.status == 200, reply.body
    length = int(reply.headers.get("inference-header-content-length", len(reply.body)))
    found, rest = {}, memoryview(reply.body)[length:]
    for tensor, spec in zip(json.loads(reply.body[:length])["outputs"], specs, strict=True):
        if "data" in tensor:
            flat = np.array(tensor["data"], array_dtype(spec.dtype))
        else:
            size = tensor["parameters"]["binary_data_size"]
            flat, rest = from_bytes(spec, math.prod(tensor["shape"]), rest[:size]), rest[size:]
        found[spec.name] = flat.reshape(tensor["shape"])
    return found


def same(got: Array, expected: Array, *, infinities: bool) -> bool:
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    if got.dtype.kind != "f":
        return got.tolist() == expected.tolist()
    if not infinities:
        expected = np.where(np.isinf(expected), np.array(np.nan, expected.dtype), expected)
    finite = np.abs(expected[np.isfinite(expected)]).astype(np.float64)
    unit = float(np.finfo(expected.dtype).eps) * float(finite.max(initial=0.0))
    with np.errstate(invalid="ignore"):
        near = np.abs(got.astype(np.float64) - expected.astype(np.float64)) <= _EPSILONS * unit
    return bool((near | (got == expected) | (np.isnan(got) & np.isnan(expected))).all())


@pytest.mark.filterwarnings("ignore::RuntimeWarning:onnx.*")
@pytest.mark.parametrize("part", range(_PARTS))
def test_what_runs_in_process_answers_the_same_over_http(part: int, tmp_path: Path) -> None:
    cases = node_cases()[part::_PARTS]
    repository = Repository(tmp_path)
    repository.ready = True
    service = Service(repository)
    seen: Counter[str] = Counter()
    wrong = []
    with running(service) as server, Client(server.port) as client:
        for case in cases:
            try:
                engine = Engine.load(case.model.SerializeToString(), threads=1)
                feeds = given(engine, case)
                expected = engine.run(feeds)
                engine.run(feeds)  # a seeded Dropout repeats itself once before it goes on
                again = engine.run(feeds)
            except BadModel as error:
                seen["refused at load" if "dtype" in str(error) or "only tensors" in str(error) else "no kernel"] += 1
                continue
            except BadData:
                seen["does not run in process"] += 1
                continue
            inputs, outputs = list(engine.inputs), list(engine.outputs)
            if not all(same(again[name], expected[name], infinities=True) for name in expected):
                seen["random"] += 1
                continue
            batcher = Batcher(engine, repository.traffic, name="m", version=1, max_rows=64, max_waiting=64)
            served = Served("m", 1, engine, batcher, path=tmp_path / "model.onnx", load_seconds=0.0, signature=())
            server.call(repository.put, "m", {1: served}, {})
            for form, message in (("JSON", as_json(feeds, inputs)), ("bytes", as_bytes(feeds, inputs))):
                if message is None:
                    seen["an infinity in the input, which JSON cannot carry"] += 1
                    continue
                client.send(message)
                got = answers(client.reply(), outputs)
                if all(same(got[name], expected[name], infinities=form == "bytes") for name in expected):
                    seen[f"the same in {form}"] += 1
                else:
                    wrong.append(f"{case.name} in {form}")
            server.call(batcher.close)
    print(dict(seen))
    assert wrong == []
    assert len(cases) > 100
    assert seen["the same in JSON"] > 0.6 * len(cases)
    assert seen["the same in bytes"] > 0.6 * len(cases)

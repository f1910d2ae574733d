"""What NVIDIA's example clients for HTTP do, with tritonclient itself where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import running
from tests.serving.onnx_models import identity, model, node, plain

from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service

triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")

PAIR = ["INPUT0:int32[batch,16]", "INPUT1:int32[batch,16]"], ["OUTPUT0:int32[batch,16]", "OUTPUT1:int32[batch,16]"]
A, B = np.arange(16, dtype=np.int32)[None], np.full((1, 16), -1, np.int32)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models")
    nodes = [node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]), node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"])]
    plain(folder, "simple", model(nodes, *PAIR))
    plain(folder, "texts", identity("string"))
    plain(folder, "scores", identity("float32", "batch,4"))
    repository = Repository(folder)
    with running(Service(repository, control=Reloader(repository))) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with triton.InferenceServerClient(url, concurrency=4) as found:
        yield found


def inputs(*, binary: bool = True) -> list[Any]:
    found = [triton.InferInput("INPUT0", [1, 16], "INT32"), triton.InferInput("INPUT1", [1, 16], "INT32")]
    for tensor, value in zip(found, (A, B), strict=True):
        tensor.set_data_from_numpy(value, binary_data=binary)
    return found


def is_right(result: Any) -> bool:
    return bool((result.as_numpy("OUTPUT0") == A + B).all() and (result.as_numpy("OUTPUT1") == A - B).all())


def refused(ask: Callable[[], Any], says: str) -> None:
    with pytest.raises(triton.InferenceServerException, match=says):
        ask()


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("simple")
    assert "classification" in client.get_server_metadata()["extensions"]
    assert [one["name"] for one in client.get_model_metadata("simple")["inputs"]] == ["INPUT0", "INPUT1"]
    assert client.get_model_config("simple")["max_batch_size"] > 0
    assert client.get_inference_statistics("simple")["model_stats"][0]["name"] == "simple"
    refused(lambda: client.get_model_metadata("wrong_model"), "^.*Request for unknown model: .*'wrong_model'")


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_infer(client: Any, binary: bool, packed: str | None) -> None:
    outputs = [triton.InferRequestedOutput("OUTPUT0", binary_data=binary), triton.InferRequestedOutput("OUTPUT1")]
    packing = {"request_compression_algorithm": packed, "response_compression_algorithm": packed}
    for wanted in (outputs, None):
        assert is_right(client.infer("simple", inputs(binary=binary), outputs=wanted, query_params={"a": 1}, **packing))
    assert all(is_right(one.get_result()) for one in [client.async_infer("simple", inputs()) for _ in range(10)])
    assert is_right(client.infer("simple", inputs(), timeout=10_000_000, priority=0, sequence_id=0, request_id="1"))


def test_aio(url: str) -> None:
    async def main() -> None:
        from tritonclient.http import aio

        async with aio.InferenceServerClient(url) as client:
            assert await client.is_model_ready("simple")
            answers = await asyncio.gather(*(client.infer("simple", inputs(binary=n % 2 == 0)) for n in range(20)))
            assert all(map(is_right, answers))

    asyncio.run(main())


@pytest.mark.parametrize("binary", [True, False])
def test_strings(client: Any, binary: bool) -> None:
    tensor = triton.InferInput("x", [1, 2], "BYTES")
    tensor.set_data_from_numpy(np.array([["a", "ünï"]], np.object_), binary_data=binary)
    answer = client.infer("texts", [tensor], outputs=[triton.InferRequestedOutput("y", binary_data=binary)])
    found = [one.decode() if isinstance(one, bytes) else one for one in answer.as_numpy("y")[0]]
    assert found == ["a", "ünï"]


@pytest.mark.parametrize("binary", [True, False])
def test_classes_as_the_image_client_reads_them(client: Any, binary: bool) -> None:
    tensor = triton.InferInput("x", [2, 4], "FP32")
    tensor.set_data_from_numpy(np.array([[0, 3, 1, 2], [9, 0, 0, 1]], np.float32))
    wanted = triton.InferRequestedOutput("y", binary_data=binary, class_count=2)
    found = client.infer("scores", [tensor], outputs=[wanted]).as_numpy("y")
    texts = [[one.decode() if isinstance(one, bytes) else one for one in row] for row in found]
    assert texts == [["3.000000:1", "2.000000:3"], ["9.000000:0", "1.000000:3"]]


def test_what_is_asked_for_and_not_there(client: Any) -> None:
    for more, says in (
        ({"sequence_id": 7, "sequence_start": True}, "sequences"),
        ({"priority": 1}, "no priorities"),
        ({"parameters": {"mine": 1}}, "not known here"),
        ({"model_version": "9"}, "9"),
    ):
        refused(lambda more=more: client.infer("simple", inputs(), **more), says)
    shared = inputs()
    shared[0].set_shared_memory("region", 64)
    refused(lambda: client.infer("simple", shared), "no shared memory")
    output = triton.InferRequestedOutput("OUTPUT0")
    output.set_shared_memory("region", 64)
    refused(lambda: client.infer("simple", inputs(), outputs=[output]), "no shared memory")
    refused(client.get_system_shared_memory_status, "no shared memory")
    refused(lambda: client.register_system_shared_memory("region", "/region", 64), "no shared memory")


def test_model_control(client: Any) -> None:
    client.unload_model("simple")
    assert not client.is_model_ready("simple")
    client.load_model("simple")
    assert client.is_model_ready("simple")
    refused(lambda: client.load_model("wrong_model"), "failed to load 'wrong_model'")
    refused(
        lambda: client.load_model("simple", config="{}"), "failed to load 'simple': .* as it lies in the repository"
    )
    refused(lambda: client.unload_model("wrong_model"), "failed to unload 'wrong_model'")
    refused(lambda: client.infer("wrong_model", inputs()), "Request for unknown model")
    refused(lambda: client.load_model("simple", config="{}", files={"file:1/model.onnx": b"a"}), "as it lies")
    assert is_right(client.infer("simple", inputs()))

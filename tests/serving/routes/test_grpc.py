"""gRPC as its clients speak it: every call, all datatypes raw and typed, errors, deadlines, tokens, packed messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import Running, running
from tests.serving.http2_client import Http2Client
from tests.serving.onnx_models import identity, model, node, plain
from tests.serving.routes.values import VALUES

from onnxpress.core.arrays import Array
from onnxpress.serving.engine.bfloat16 import to_bits
from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.datatypes import DATATYPE_OF
from onnxpress.serving.routes.call_paths import STREAMS, UNARY, path
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AccessSettings

triton = pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")
grpc = pytest.importorskip("grpc", reason="needs grpcio")
pb2 = triton.service_pb2

PAIR = ["a:float32[batch,2]", "b:float32[batch,2]"], ["sum:float32[batch,2]", "difference:float32[batch,2]"]
CONTENTS = {
    "bool": "bool", "uint8": "uint", "uint16": "uint", "uint32": "uint", "uint64": "uint64", "int8": "int",
    "int16": "int", "int32": "int", "int64": "int64", "float32": "fp32", "float64": "fp64", "string": "bytes",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    for dtype in VALUES:
        plain(folder, dtype, identity(dtype, "batch,3"))
    plain(folder, "pair", model([node("Add", ["a", "b"], ["sum"]), node("Sub", ["a", "b"], ["difference"])], *PAIR))
    repository = Repository(folder)
    with running(Service(repository, control=Reloader(repository))) as found:
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as found:
        yield found


@pytest.fixture
def stub(server: Running) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield triton.service_pb2_grpc.GRPCInferenceServiceStub(channel)


def raw(dtype: str, values: Array) -> bytes:
    if dtype == "string":
        return b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in values.ravel())
    return (to_bits(values) if dtype == "bfloat16" else values).tobytes()


def asking(dtype: str, values: Array | None = None, **fields: Any) -> Any:
    """A request with one input, without its contents."""
    shape = list(VALUES[dtype].shape if values is None else values.shape)
    tensor = pb2.ModelInferRequest.InferInputTensor(name="x", datatype=DATATYPE_OF[dtype], shape=shape)
    return pb2.ModelInferRequest(**({"model_name": dtype, "inputs": [tensor]} | fields))


@pytest.mark.parametrize("dtype", VALUES)
def test_every_datatype_goes_through_as_raw_contents(stub: Any, dtype: str) -> None:
    values = VALUES[dtype]
    for name in ("", "a", "a"):
        answer = stub.ModelInfer(asking(dtype, raw_input_contents=[raw(dtype, values)], id=name))
        assert (answer.model_name, answer.model_version, answer.id) == (dtype, "1", name)
        (output,) = answer.outputs
        assert (output.name, output.datatype, list(output.shape)) == ("y", DATATYPE_OF[dtype], [1, 3])
        assert answer.raw_output_contents == [raw(dtype, values)]


@pytest.mark.parametrize("dtype", CONTENTS)
def test_typed_contents_are_answered_with_typed_contents(stub: Any, dtype: str) -> None:
    request, name = asking(dtype), f"{CONTENTS[dtype]}_contents"
    values = [text.encode() for text in VALUES[dtype].ravel()] if dtype == "string" else VALUES[dtype].ravel().tolist()
    getattr(request.inputs[0].contents, name).extend(values)
    answer = stub.ModelInfer(request)
    assert not answer.raw_output_contents
    np.testing.assert_array_equal(list(getattr(answer.outputs[0].contents, name)), values)


def refused(call: Any, code: str, says: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert (caught.value.code().name, says in caught.value.details()) == (code, True), caught.value.details()


def test_what_does_not_fit_is_refused_with_its_reason(stub: Any) -> None:
    content = raw("int8", VALUES["int8"])
    out_of_range = asking("int8")
    out_of_range.inputs[0].contents.int_contents.extend([0, 0, 128])
    wrong_field = asking("int8")
    wrong_field.inputs[0].contents.int64_contents.extend([0, 0, 1])
    half = asking("float16")
    half.inputs[0].contents.fp32_contents.extend([0, 0, 1])
    both = asking("int8", raw_input_contents=[content])
    both.inputs[0].contents.int_contents.extend([0, 0, 1])
    short = asking("int8")
    short.inputs[0].contents.int_contents.extend([0, 1])
    for request, says in [
        (out_of_range, "do not fit INT8"),
        (wrong_field, "int64_contents; INT8 goes into int_contents"),
        (half, "raw_input_contents"),
        (both, "beside the raw_input_contents"),
        (short, "has 2 values"),
        (asking("int8"), "no data"),
        (asking("int8", raw_input_contents=[content, content]), "2 raw_input_contents for 1 inputs"),
        (asking("int8", raw_input_contents=[content[:2]]), "2 bytes"),
        (asking("int8", inputs=[]), "missing"),
        (asking("int8", np.zeros((1, 4)), raw_input_contents=[b"1234"]), "axis 1"),
    ]:
        for _ in range(2):
            refused(lambda request=request: stub.ModelInfer(request), "INVALID_ARGUMENT", says)
    refused(lambda: stub.ModelInfer(asking("int8", model_name="none")), "NOT_FOUND", "no model 'none'")
    refused(lambda: stub.ModelInfer(asking("int8", model_version="7")), "NOT_FOUND", "no version '7'")
    assert stub.ModelInfer(asking("int8", raw_input_contents=[content])).raw_output_contents == [content]


def test_a_client_of_nvidia_finds_all_its_calls(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("pair")
    assert client.is_model_ready("pair", "1")
    assert not client.is_model_ready("pair", "2")
    assert not client.is_model_ready("none")
    assert client.get_server_metadata().name == "onnxpress"
    metadata = client.get_model_metadata("pair", as_json=True)
    assert metadata["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": ["-1", "2"]}
    config = client.get_model_config("pair", as_json=True)["config"]
    assert config["input"][1] == {"name": "b", "data_type": "TYPE_FP32", "dims": ["2"]}
    assert config["instance_group"] == [{"name": "pair", "kind": "KIND_CPU", "count": 1}]
    assert config["version_policy"] == {"specific": {"versions": ["1"]}}
    inputs = [triton.InferInput(name, [1, 2], "FP32") for name in "ab"]
    for number, tensor in enumerate(inputs):
        tensor.set_data_from_numpy(np.array([[5, number]], np.float32))
    before = client.get_inference_statistics("pair").model_stats[0].inference_count
    result = client.infer("pair", inputs, outputs=[triton.InferRequestedOutput("difference")])
    assert result.as_numpy("difference").tolist() == [[0, -1]]
    assert result.as_numpy("sum") is None
    for packing in ("gzip", "deflate"):
        assert client.infer("pair", inputs, compression_algorithm=packing).as_numpy("sum").tolist() == [[10, 1]]
    best = client.infer("pair", inputs, outputs=[triton.InferRequestedOutput("sum", class_count=1)])
    assert best.as_numpy("sum").tolist() == [[b"10.000000:0"]]
    told = client.get_inference_statistics("pair").model_stats[0]
    assert told.inference_count == told.inference_stats.compute_infer.count == before + 4
    assert min(told.inference_stats.success.ns, told.inference_stats.compute_output.ns, told.last_inference) > 0
    assert told.batch_stats[0].batch_size == 1
    assert told.batch_stats[0].compute_input.ns > 0
    assert {model.name for model in client.get_model_repository_index().models} == {*VALUES, "pair"}
    client.unload_model("bool")
    assert not client.is_model_ready("bool")
    client.load_model("bool")
    assert client.is_model_ready("bool")
    with pytest.raises(triton.InferenceServerException, match="as it lies in the repository"):
        client.load_model("bool", config="{}", files={"file:1/model.onnx": b"x"})
    with pytest.raises(triton.InferenceServerException, match="no priorities here"):
        client.infer("pair", inputs, priority=1)


def test_many_calls_at_a_time_on_one_connection(server: Running, client: Any) -> None:
    content = raw("float32", VALUES["float32"])
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        requests = [asking("float32", raw_input_contents=[content], id=str(number)) for number in range(100)]
        answers = [future.result() for future in [call.future(request) for request in requests]]
    assert [answer.id for answer in answers] == [str(number) for number in range(100)]
    assert all(answer.raw_output_contents == [content] for answer in answers)


def test_calls_that_are_not_here_are_refused_at_once(server: Running, stub: Any) -> None:
    """Of all that NVIDIA's stubs have, each is answered here or refused with a word."""
    missing = set()
    for method in pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        if path("inference.GRPCInferenceService", method.name) not in UNARY | STREAMS:
            missing.add(method.name)
            request = getattr(pb2, method.input_type.name)()
            refused(lambda m=method, r=request: getattr(stub, m.name)(r), "UNIMPLEMENTED", "docs/grpc.md")
    assert {"CudaSharedMemoryStatus", "SystemSharedMemoryRegister", "TraceSetting", "LogSettings"} <= missing
    assert all("SharedMemory" in name or name in ("TraceSetting", "LogSettings") for name in missing)


def check(channel: Any, service: bytes) -> int:
    """The status of the standard health check; its messages have one field each."""
    call = channel.unary_unary("/grpc.health.v1.Health/Check", lambda text: text, lambda data: data)
    answer: bytes = call(b"\x0a" + bytes([len(service)]) + service if service else b"")
    return answer[1] if answer else 0


def test_the_standard_health_check(server: Running) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        assert check(channel, b"") == check(channel, b"inference.GRPCInferenceService") == check(channel, b"pair") == 1
        refused(lambda: check(channel, b"none"), "NOT_FOUND", "no service")
        server.call(server.server.shared.handler.traffic.errors.clear)
        assert check(channel, b"") == 1


HEAD = [("content-type", "application/grpc"), ("te", "trailers")]


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def test_what_the_transport_says_of_calls(server: Running) -> None:
    infer = "/inference.GRPCInferenceService/ModelInfer"
    request = asking("int8", raw_input_contents=[raw("int8", VALUES["int8"])]).SerializeToString()
    with Http2Client(server.port) as client:
        good = client.answer(client.ask("POST", infer, framed(request), HEAD))
        assert (good.status, good.headers["content-type"], good.trailers) == (
            200,
            "application/grpc",
            {"grpc-status": "0"},
        )
        late = client.answer(client.ask("POST", infer, framed(request), [*HEAD, ("grpc-timeout", "0n")]))
        assert late.headers["grpc-status"] == "4"
        for body, extra in [
            (framed(request)[:-1], []),
            (framed(request) * 2, []),
            (b"\1" + framed(request)[1:], []),
            (framed(b"\xff"), []),
            (framed(request), [("grpc-timeout", "1x")]),
            (b"\1" + framed(request)[1:], [("grpc-encoding", "gzip")]),
        ]:
            wrong = client.answer(client.ask("POST", infer, body, [*HEAD, *extra]))
            assert (wrong.status, wrong.headers["grpc-status"], wrong.body) == (200, "3", b""), wrong
        unknown = client.answer(
            client.ask("POST", infer, b"\1" + framed(request)[1:], [*HEAD, ("grpc-encoding", "snappy")])
        )
        assert unknown.headers["grpc-status"] == "12"
        # Without gRPC's content type it is a path like any other.
        assert client.answer(client.ask("POST", infer, framed(request))).status == 404


def test_a_message_is_quoted(server: Running) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel)
        refused(lambda: stub.ModelInfer(asking("int8", model_name="50 % für Ω")), "NOT_FOUND", "50 % für Ω")


def test_tokens_are_asked_for_but_for_health(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("a-token-of-enough-characters\n")
    (tmp_path / "models").mkdir()
    plain(tmp_path / "models", "int8", identity("int8", "batch,3"))
    service = Service(Repository(tmp_path / "models"))
    request = asking("int8", raw_input_contents=[raw("int8", VALUES["int8"])])
    with (
        running(service, access=AccessSettings(tokens=tmp_path / "tokens")) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = triton.service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(pb2.ServerReadyRequest()).ready
        assert check(channel, b"") == 1
        refused(lambda: stub.ModelInfer(request), "UNAUTHENTICATED", "bearer token")
        metadata = [("authorization", "Bearer a-token-of-enough-characters")]
        assert stub.ModelInfer(request, metadata=metadata, timeout=60).model_name == "int8"

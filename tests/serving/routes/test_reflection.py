"""Server reflection as its clients use it, and its descriptors against a compiler's and against other people's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.harness import WAIT, running
from tests.serving.onnx_models import identity, plain

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol import descriptors
from onnxpress.serving.protocol.protobuf import decoded, field
from onnxpress.serving.routes import call_paths
from onnxpress.serving.service import Service

grpc = pytest.importorskip("grpc", reason="needs grpcio")
descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2", reason="needs protobuf")

_RESPONSE = {
    1: ("host", str),
    2: ("asked", bytes),
    4: ("files", {1: ("all", [bytes])}),
    5: ("extensions", {1: ("type", str)}),
    6: ("services", {1: ("all", [{1: ("name", str)}])}),
    7: ("error", {1: ("code", int), 2: ("said", str)}),
}
FILE, SYMBOL, EXTENSION, EXTENSIONS, SERVICES = 3, 4, 5, 6, 7
SCRIPT = Path(__file__).parents[3] / "scripts/write_descriptors.py"


@pytest.fixture(scope="module", params=call_paths.REFLECTION)
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Asks messages on one call, in each version of the service."""
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "scores", identity("float32", "n"))
    with (
        running(Service(Repository(folder))) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        call = channel.stream_stream(f"/{request.param}/ServerReflectionInfo", lambda data: data, lambda data: data)

        def ask(*messages: bytes) -> list[dict[str, Any]]:
            return [decoded(_RESPONSE, answer, "answer") for answer in call(iter(messages), timeout=WAIT)]

        yield ask


def files_of(answer: dict[str, Any]) -> list[Any]:
    return [descriptor_pb2.FileDescriptorProto.FromString(bytes(file)) for file in answer["files"]["all"]]


def test_services_are_listed(asked: Callable[..., Any]) -> None:
    (answer,) = asked(field(1, b"here") + field(SERVICES, b""))
    assert (answer["host"], bytes(answer["asked"])) == ("here", field(1, b"here") + field(SERVICES, b""))
    assert [row["name"] for row in answer["services"]["all"]] == sorted(call_paths.SERVICES)


def test_every_call_of_a_service_is_described_and_answered_here(asked: Callable[..., Any]) -> None:
    from google.protobuf import descriptor_pool

    paths = set()
    for answer, service in zip(
        asked(*[field(SYMBOL, name.encode()) for name in call_paths.SERVICES]), call_paths.SERVICES, strict=True
    ):
        pool, files = descriptor_pool.DescriptorPool(), {file.name: file for file in files_of(answer)}
        while files:  # all that a file imports is there
            ready = [name for name, file in files.items() if not files.keys() & set(file.dependency)]
            pool.Add(files.pop(ready[0]))
        methods = pool.FindServiceByName(service).methods
        paths |= {(f"/{service}/{one.name}".encode(), one.client_streaming, one.server_streaming) for one in methods}
    kinds = [
        (call_paths.UNARY, (False, False)),
        (call_paths.STREAMS, (True, True)),
        (call_paths.WATCHED, (False, True)),
    ]
    assert paths == {(path, *kind) for known, kind in kinds for path in known}


def test_files_and_symbols_are_found_or_not(asked: Callable[..., Any]) -> None:
    names = [
        "inference.ModelInferRequest", "inference.ModelInferRequest.InferInputTensor", "inference.TYPE_FP32",
        "inference.ModelInstanceGroup.Kind", "inference.ModelInstanceGroup.KIND_CPU",
        "inference.InferParameter.bool_param",
        "inference.GRPCInferenceService.ModelInfer", "inference.InferParameter.parameter_choice", "inference.DataType",
    ]  # fmt: skip
    for answer in asked(*[field(SYMBOL, name.encode()) for name in names]):
        assert files_of(answer)[0].name in ("grpc_service.proto", "model_config.proto")
    by_name, none, unknown, extension, extensions, of_none, nothing = asked(
        field(FILE, b"grpc_service.proto"),
        field(FILE, b"none.proto"),
        field(SYMBOL, b"inference.None"),
        field(EXTENSION, field(1, b"inference.DataType") + b"\x10\x01"),
        field(EXTENSIONS, b"inference.ModelInferRequest"),
        field(EXTENSIONS, b"none"),
        b"",
    )
    assert [file.name for file in files_of(by_name)] == ["grpc_service.proto", "model_config.proto"]
    assert [one["error"]["code"] for one in (none, unknown, extension, of_none, nothing)] == [5, 5, 5, 5, 3]
    assert extensions["extensions"]["type"] == "inference.ModelInferRequest"


def described(messages: Any, before: str) -> Iterator[tuple[str, Any]]:
    for message in messages:
        yield f"{before}.{message.name}", message
        yield from described(message.nested_type, f"{before}.{message.name}")


def test_messages_are_those_of_other_peoples_stubs() -> None:
    """A name, a number or a type that differs would be another message. What is not here may be missing."""
    theirs = []
    for name in ("tritonclient.grpc.service_pb2", "tritonclient.grpc.model_config_pb2"):
        module = pytest.importorskip(name, reason="needs tritonclient[grpc]")
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        theirs.append(file)
    known = {name: message for file in theirs for name, message in described(file.message_type, file.package)}
    enums = {enum.name: enum for file in theirs for enum in file.enum_type}
    ours = descriptors.Descriptors().files
    compared = 0
    for name in ("grpc_service.proto", "model_config.proto"):
        file = descriptor_pb2.FileDescriptorProto.FromString(ours[name])
        for full, message in described(file.message_type, file.package):
            fields = {one.number: (one.name, one.type, one.label, one.type_name) for one in known[full].field}
            for one in message.field:
                assert fields[one.number] == (one.name, one.type, one.label, one.type_name), full
                compared += 1
        for enum in file.enum_type:
            assert {(one.name, one.number) for one in enum.value} == {
                (one.name, one.number) for one in enums[enum.name].value
            }
    assert compared > 100


def test_the_descriptors_are_what_a_compiler_makes_of_the_files() -> None:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        import write_descriptors
    finally:
        sys.path.pop(0)
    command = write_descriptors.compiler()
    if command is None:
        pytest.skip("needs protoc or grpcio-tools")
    made = descriptor_pb2.FileDescriptorSet.FromString(write_descriptors.compiled(command))
    kept = descriptor_pb2.FileDescriptorSet.FromString(descriptors.PATH.read_bytes())
    ours = {file.name: file for file in kept.file}
    assert ours.keys() == {file.name for file in made.file}
    for file in made.file:
        if not file.name.startswith("google/"):  # theirs are of the compiler's age
            assert file == ours[file.name]


def test_every_file_of_the_folder_is_in_the_descriptors() -> None:
    """Where there is no compiler, a forgotten file is found all the same."""
    protos = descriptors.PATH.parent / "protos"
    names = {str(path.relative_to(protos)) for path in protos.rglob("*.proto")}
    assert names == {name for name in descriptors.Descriptors().files if not name.startswith("google/")}

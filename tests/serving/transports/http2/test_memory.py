"""What small messages cost a server of gRPC: not many times the bytes that they are of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.harness import Process, started
from tests.serving.http2_client import Http2Client, fields_of
from tests.serving.onnx_models import identity, plain

from onnxpress.serving.protocol.protobuf import field, varint
from onnxpress.serving.transports.http2 import frames, hpack
from onnxpress.serving.transports.http2.stream import append

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
HEAD = [("content-type", "application/grpc"), ("te", "trailers")]
V2 = "/inference.GRPCInferenceService/"
MANY = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("models")
    plain(folder, "longs", identity("int64", "n"))
    with started(folder) as found:
        yield found


def peak(server: Process) -> int:
    """The most bytes that the process has had in memory."""
    lines = Path(f"/proc/{server.popen.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def opened(client: Http2Client, path: str) -> int:
    """A stream on which messages can be sent."""
    number, client._next = client._next, client._next + 2
    client.send(frames.frame(frames.HEADERS, frames.END_HEADERS, number, hpack.encoded(fields_of("POST", path, HEAD))))
    return number


def send(client: Http2Client, number: int, content: bytes) -> None:
    """Send data as far as the window of the stream goes, and then as far as it grows."""
    at, room = 0, 1 << 20
    while at < len(content):
        part = content[at : at + min(room, frames.PAYLOAD)]
        client.send(frames.frame(frames.DATA, 0, number, part))
        at, room = at + len(part), room - len(part)
        while not room and at < len(content):
            frame = client.until(frames.WINDOW_UPDATE)
            if frame.stream == number:
                room = int.from_bytes(frame.payload, "big")


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def tensor(values: bytes) -> bytes:
    """A PredictRequest of so many numbers as the shape says."""
    proto = b"\x08\x09" + field(2, field(2, b"\x08" + varint(MANY))) + values
    return field(1, field(1, b"longs")) + field(2, field(1, b"x") + field(2, proto))


def contents(values: bytes) -> bytes:
    """The same in the contents of a ModelInferRequest."""
    told = field(1, b"x") + field(2, b"INT64") + field(3, varint(MANY)) + field(5, values)
    return field(1, b"longs") + field(5, told)


@pytest.mark.parametrize(
    ("path", "message", "code"),
    [
        (V2 + "ModelInfer", b"\x3a\x00" * (2 * MANY), b"3"),
        (V2 + "ModelInfer", contents(b"\x18\x01" * MANY), b"0"),
        ("/tensorflow.serving.PredictionService/Predict", tensor(b"\x50\x01" * MANY), b"0"),
        ("/grpc.health.v1.Health/Check", field(1, bytes(4 << 20)), b"3"),
    ],
)
def test_a_message_of_many_small_fields_costs_no_object_for_each(
    path: str, message: bytes, code: bytes, server: Process
) -> None:
    before = peak(server)
    with Http2Client(server.port) as client:
        number = opened(client, path)
        send(client, number, framed(message))
        client.send(frames.frame(frames.DATA, frames.END_STREAM, number, b""))
        found = dict(client._decoder.decode(client.until(frames.HEADERS).payload))
        assert found.get(b"grpc-status", b"0") == code  # it begins an answer, or says what is wrong
    assert peak(server) < before + 80 * MANY


def test_a_name_that_is_watched_is_not_kept_however_long(server: Process) -> None:
    before = peak(server)
    with Http2Client(server.port) as client:
        for _ in range(12):
            number = opened(client, "/grpc.health.v1.Health/Watch")
            send(client, number, framed(field(1, bytes(8 << 20))))
            frame = client.until(frames.HEADERS)
            assert frame.flags & frames.END_STREAM
            assert (b"grpc-status", b"3") in client._decoder.decode(frame.payload)
    assert peak(server) < before + 80 * MANY


@pytest.mark.parametrize("sizes", [[1] * 1000, [1, 255] * 100, [300, 1, 1, 300], [0, 5, 16384, 1]])
def test_small_parts_are_put_together(sizes: list[int]) -> None:
    given = [bytes([place % 256]) * size for place, size in enumerate(sizes)]
    parts: list[bytes] = []
    for part in given:
        append(parts, part)
    assert b"".join(parts) == b"".join(given)
    assert len(parts) <= 2 + sum(sizes) // 128

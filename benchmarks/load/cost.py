"""What requests cost the server: CPU seconds and peak memory around batches of mutants, held against their bytes.

A request may cost so much for being one, and so much for each byte that came (of a packed body: that it holds). A batch
above that is halved until the request is found that costs too much. Every mutant follows from its number.

The seeds are what looks cheap and may not be: declared sizes, zeros in shapes, nesting, nulls, blanks, escapes, packed
bodies, chunks of a byte, trailers, pipelines, a key again and again, words that are no JSON.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import socket
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.serving.onnx_models import identity, lookup, mixed, model, node

from benchmarks.load.fuzz import mutated
from benchmarks.load.process import Watched, settled, watched

MUTANTS = 200_000
_TOGETHER = 64
SLACK, SECONDS, SECONDS_FOR_A_BYTE = 0.05, 0.001, 1e-6
"""CPU seconds that a batch may cost, one request of it, and one byte: 1 MB of JSON is read in 0.1 s where it is odd"""
MEMORY, MEMORY_FOR_A_BYTE = 16 << 20, 48
"""bytes that a batch may take beyond what the server has, and a byte of its largest: a short text is 60 as an object"""
_PATIENCE = 60.0
_UNPACKED = 64 << 20
BESIDE = {
    "open": model(
        [node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)],
        ["x:float32[b,n]"],
        ["y:float32[b]"],
        {"axes": np.array([1], np.int64)},
    ),
    "words": identity("string"),
    "numbers": identity("int64"),
    "flags": identity("bool"),
    "half": identity("float16"),
    "lookup": lookup(),
    "mixed": mixed(),
}
_DTYPES = {"open": "FP32", "words": "BYTES", "numbers": "INT64", "flags": "BOOL", "half": "FP16", "tiny": "FP32"}
_NUMBERS = (0, 1, 2, 3, 31, 32, 1000, 1 << 16, 1 << 20, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, 1 << 64, 10**30, -1)


def _values(choice: random.Random, size: int) -> bytes:
    """JSON of about so many bytes that stands where values stand."""
    one = choice.choice(
        [b"1", b"null", b"1.5", b'""', b'"ab"', b"true", b"[]", b"[1]", b"[null]", b"{}", b'{"b64":"YQ=="}', b"1e5",
         b"NaN", b"[-Infinity]",
         b'"\\u0061"', b"[[1]]", b'{"x":1}', b"18446744073709551615", b" 1 ", b"\n", b"0.1234567890123456789"]
    )  # fmt: skip
    count = max(1, size // (len(one) + 1))
    match choice.randrange(7):
        case 0:
            return b"[" * (size // 2) + b"]" * (size // 2)
        case 1:
            return b"[" + b" " * size + b"]"
        case 2:
            width = choice.choice([1, 2, 4, 32, 1000])
            row = b"[" + b",".join([one] * width) + b"]"
            return b"[" + b",".join([row] * max(1, size // len(row))) + b"]"
        case 3:
            return (
                b"["
                + b",".join([one] * count)
                + b","
                + choice.choice([b"null", b"1e39", b"true", b'"a"', b"[", b""])
                + b"]"
            )
        case 4:
            return b"[" + choice.choice([b"9", b"1" * 10, b"0.", b"1e"]) * (size // 4 + 1) + b"]"
        case 5:
            return (
                b'["' + choice.choice([b"a", b'\\"', b",", b"\\\\", b"\\u00e9", b'\\",'])[:6] * (size // 4 + 1) + b'"]'
            )
        case _:
            return b"[" + b",".join([one] * count) + b"]"


def _shape(choice: random.Random, values: bytes) -> list[int]:
    count = values.count(b",") + 1
    return choice.choice(
        [
            lambda: [choice.choice(_NUMBERS) for _ in range(choice.choice([0, 1, 2, 2, 3, 500]))],
            lambda: [count],
            lambda: [count, 1],
            lambda: [1, count],
            lambda: [count // 2, 2],
            lambda: [0, choice.choice(_NUMBERS)],
            lambda: [choice.choice(_NUMBERS), 0],
            lambda: [count // 32, 32],
        ]
    )()


def _inference(choice: random.Random, size: int) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body of a request for an inference."""
    name = choice.choice([*_DTYPES])
    target, headers = f"/v2/models/{name}/infer", {}
    values = _values(choice, size)
    tensor: dict[str, Any] = {"name": "x", "shape": _shape(choice, values), "datatype": _DTYPES[name]}
    match choice.randrange(8):
        case 6:
            rows = [b'{"x":%b}' % choice.choice([values[:1000], b"1", b"NaN", b"null"])] * max(1, size // 8)
            target = choice.choice([f"/models/{name}", f"/predict/{name}", "/predict"])
            body = choice.choice([b"[%b]", b'{"rows":[%b]}']) % b",".join(rows + [b'{"y":1}'] * choice.randrange(2))
        case 7:
            again = choice.choice([b'"data":[1],', b'"inputs":[],', b'"instances":[1],', b'"x":[1],', b'"shape":[1],'])
            first = choice.choice([b"{", b'{"inputs":[{', b'{"inputs":{', b'{"rows":[{', b'{"parameters":{'])
            body = first + again * max(1, size // len(again)) + values
            target = choice.choice([target, f"/v1/models/{name}:predict", f"/models/{name}"])
        case 0:
            key = choice.choice([b'"instances":', b'"inputs":', b'"inputs":{"x":', b'"signature_name":"","instances":'])
            body = b"{" + key + values + (b"}}" if key.endswith(b'"x":') else b"}")
            target = f"/v1/models/{name}:predict"
        case 1:
            content = choice.choice(
                [
                    bytes(size),
                    b"\xff" * size,
                    struct.pack("<I", 0) * (size // 4),
                    struct.pack("<I1s", 1, b"a") * (size // 5),
                ]
            )
            tensor["parameters"] = {"binary_data_size": len(content)}
            text = json.dumps({"inputs": [tensor]}).encode()
            headers = {"inference-header-content-length": str(choice.choice([len(text), len(text), 0]))}
            body = text + content
        case 2:
            many = json.dumps({**tensor, "data": [1]}).encode()
            body = b'{"inputs":[%b]}' % b",".join([many] * max(1, size // len(many)))
        case _:
            tensor["data"] = "@"
            body = json.dumps({"inputs": [tensor], **choice.choice([{}, {"id": "a" * (size // 8)}])}).encode()
            body = body.replace(b'"@"', values)
    return target, headers, body


def _framed(choice: random.Random, target: str, headers: dict[str, str], body: bytes) -> tuple[bytes, int]:
    """The request as it is sent, and the bytes that it may be held against."""
    counted = 0
    if choice.random() < 0.2:
        packed = choice.choice(
            [
                lambda: (gzip.compress(body, 1), "gzip"),
                lambda: (gzip.compress(b"") * (len(body) // 20 + 1) + gzip.compress(body, 1), "gzip"),
                lambda: (zlib.compress(body, 1), "deflate"),
                lambda: (b"\x00\x00\x00\xff\xff" * (len(body) // 5 + 1) + b"\x03\x00", "deflate"),
                lambda: (b"\x03\x00" * (len(body) // 2 + 1), "deflate"),
                lambda: (gzip.compress(body + b" " * choice.choice([1 << 16, 1 << 20, 4 << 20]), 1), "gzip"),
            ]
        )()
        with contextlib.suppress(zlib.error):
            counted = len(zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(packed[0], _UNPACKED))
        body, headers = packed[0], {**headers, "content-encoding": packed[1]}
    method = choice.choice(["POST"] * 12 + ["GET", "HEAD", "CONNECT", "OPTIONS", "PUT"])
    lines = [f"{method} {target} HTTP/1.1", "host: cost", *(f"{name}: {value}" for name, value in headers.items())]
    match choice.randrange(14):
        case 0:
            step = choice.choice([1, 2, 16, 1000])
            parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in _cut(body[: 20_000 * step], step)]
            trailers = b"".join(b"t%d: v\r\n" % number for number in range(choice.choice([0, 0, 3, 3000])))
            data = "\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode()
            data += b"".join(parts) + b"0\r\n" + trailers + b"\r\n"
        case 1:
            length = choice.choice([1 << 30, 1 << 62, 10**30, 65 << 20, len(body) + 100])
            data = "\r\n".join([*lines, f"content-length: {length}", "", ""]).encode() + body[:1000]
        case 2:
            lines += [f"x{number}: {'y' * choice.choice([1, 100])}" for number in range(choice.choice([10, 300]))]
            data = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
        case 3:
            one = f"{method} /v2 HTTP/1.1\r\nhost: c\r\n\r\n".encode()
            data = one * choice.choice([2, 64, 2000])
        case _:
            data = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
    return data, counted


def _cut(body: bytes, step: int) -> list[bytes]:
    return [body[at : at + step] for at in range(0, len(body), step)]


def mutant(number: int) -> tuple[bytes, int]:
    """The bytes of one connection, and how many of them it may be held against."""
    choice = random.Random(number)
    size = int(10 ** choice.uniform(1, 4.5 if choice.random() < 0.98 else 6.3))
    target, headers, body = _inference(choice, size)
    if choice.random() < 0.3:
        body = mutated(choice, body, [b'"shape"', b"[[[[", b"]", b"null", b",,", b'"'])
    data, counted = _framed(choice, target, headers, body)
    if choice.random() < 0.1:
        data = mutated(choice, data, [b"\r\n", b"chunked", b"0\r\n"])
    return data, max(counted, len(data))


class Meter:
    """Reads what a process has cost."""

    def __init__(self, process: int, port: int) -> None:
        self._folder, self._port = Path(f"/proc/{process}"), port

    def seconds(self) -> float:
        """CPU time of all of its threads, of those that ended too."""
        ran = sum(int((task / "schedstat").read_text().split()[0]) for task in (self._folder / "task").iterdir())
        return ran / 1e9

    def status(self, field: str) -> int:
        """A size in its status, in bytes."""
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) << 10
        raise KeyError(field)

    def cost(self, requests: Sequence[bytes]) -> tuple[float, int]:
        """CPU seconds, and bytes at the peak beyond those before, of these requests one after the other."""
        (self._folder / "clear_refs").write_text("5")
        memory, seconds = self.status("VmRSS"), self.seconds()
        for data in requests:
            self._ask(data)
        return self.seconds() - seconds, self.status("VmHWM") - memory

    def _ask(self, data: bytes) -> None:
        """Send all and end this side; read until the server ends the other. What it does not take is not sent."""
        address = ("127.0.0.1", self._port)
        with contextlib.suppress(ConnectionError), socket.create_connection(address, timeout=_PATIENCE) as connection:
            view = memoryview(data)
            connection.setblocking(False)
            deadline = time.monotonic() + _PATIENCE
            while view and time.monotonic() < deadline:
                try:
                    view = view[connection.send(view) :]
                except BlockingIOError:
                    with contextlib.suppress(BlockingIOError):
                        if not connection.recv(1 << 20):
                            return
                    time.sleep(0.0005)
            connection.setblocking(True)
            connection.settimeout(_PATIENCE)
            with contextlib.suppress(OSError):  # the other end was quicker
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20):
                pass


def too_dear(
    meter: Meter, numbers: Sequence[int], make: Callable[[int], tuple[bytes, int]] = mutant
) -> list[dict[str, Any]]:
    """Those of the mutants that cost more than they may, with what they cost at the least of three times."""
    made = [make(number) for number in numbers]
    size = sum(counted for _, counted in made)
    largest = max(counted for _, counted in made)
    allowed = SLACK + SECONDS * len(made) + SECONDS_FOR_A_BYTE * size, MEMORY + MEMORY_FOR_A_BYTE * largest
    found = meter.cost([data for data, _ in made])
    if found[0] <= allowed[0] and found[1] <= allowed[1]:
        return []
    if len(numbers) > 1:
        half = len(numbers) // 2
        return too_dear(meter, numbers[:half], make) + too_dear(meter, numbers[half:], make)
    again = [found, meter.cost([made[0][0]]), meter.cost([made[0][0]])]
    least = min(cost[0] for cost in again), min(cost[1] for cost in again)
    if least[0] <= allowed[0] and least[1] <= allowed[1]:
        return []
    return [
        {
            "mutant": numbers[0],
            "bytes": size,
            "seconds": least[0],
            "memory": least[1],
            "begins": repr(made[0][0][:300]),
        }
    ]


def over(server: Watched, first: int, count: int, seconds: float = 1e9) -> tuple[int, list[dict[str, Any]], float]:
    """How many mutants were tried, those that cost too much, and the CPU seconds of all."""
    meter, dear, tried, until = (
        Meter(server.process.pid, server.port),
        list[dict[str, Any]](),
        0,
        time.monotonic() + seconds,
    )
    began = meter.seconds()
    while tried < count and time.monotonic() < until:
        numbers = range(first + tried, first + min(count, tried + _TOGETHER))
        dear += too_dear(meter, numbers)
        tried += len(numbers)
    return tried, dear, meter.seconds() - began


def measure(count: int | None = None, first: int = 0, *, asgi: bool = False) -> dict[str, Any]:
    """All mutants against one server, or an ASGI application in a host.

    COST_MUTANTS and COST_SECONDS in the environment make it shorter.
    """
    count = count or int(os.environ.get("COST_MUTANTS", MUTANTS))
    limit = float(os.environ.get("COST_SECONDS", 1e9))
    options = () if asgi else ("--plain-rows",)
    with watched("tiny", *options, beside=BESIDE, asgi=asgi) as server:
        descriptors = server.descriptors
        tried, dear, seconds = over(server, first, count, limit)
        alive, memory = server.alive, server.memory
        left = settled(server, descriptors) - descriptors
    return {
        "mutants": tried,
        "cpu_seconds": seconds,
        "allowed": {
            "seconds_of_a_batch": SLACK, "seconds": SECONDS, "seconds_for_a_byte": SECONDS_FOR_A_BYTE,
            "memory_of_a_batch": MEMORY, "memory_for_a_byte": MEMORY_FOR_A_BYTE,
        },
        "too_dear": dear,
        "resident_at_the_end": memory,
        "descriptors_left": left,
        "held": {"cost follows bytes": not dear, "alive": alive, "connections are given back": left <= 0},
    }  # fmt: skip

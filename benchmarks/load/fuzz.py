"""Mutated requests: into the service in this process, and over sockets. None may crash it, hang it, or be answered 500.

The seeds are requests of every kind that the server understands; a mutant has bytes flipped, cut, doubled, put in from
a dictionary or from another seed. Every mutant follows from its number, so that a finding can be looked at again.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.serving.onnx_models import identity, lookup, mixed

from benchmarks.load.process import publish_all, watched
from onnxpress.serving.exchange import Handler
from onnxpress.serving.handler import handler_of
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ServerSettings

IN_PROCESS, OVER_THE_WIRE = 150_000, 50_000
PATIENCE = 20.0
"""seconds without an answer after which it is a hang"""
_TOGETHER = 16
_TINY = "/v2/models/tiny/infer"
BESIDE = {
    "one": identity("float32", "batch,1"),
    "numbers": identity("int64"),
    "flags": identity("bool"),
    "words": identity("string"),
    "lookup": lookup(),
    "mixed": mixed(),
}
"""beside tiny: one value a row, other dtypes, a run that fails, several inputs"""
_WORDS = [
    b'"data"', b'"shape"', b'"inputs"', b'"outputs"', b'"parameters"', b"null", b"true", b"[", b"]", b"{", b"}", b",",
    b":", b"-1", b"0", b"1e999", b"1e39", b"NaN", b"18446744073709551616", b'"\\ud800"', b"\xff", b"\x00", b"\r\n",
    b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Expect: 100-continue\r\n", b" ", b"\t",
    b"Content-Encoding: gzip\r\n", b"Inference-Header-Content-Length: 10\r\n", b"HTTP/1.0", b"%00", b"..", b"//",
    b"Connection: close\r\n", b"Upgrade: h2c\r\n", b"[1,32]", b"[0,32]", b"[2,32]", b"9" * 400, b"[" * 2000,
    b'"timeout":1', b'"binary_data_size":128', b'"binary_data_output":true',
]  # fmt: skip


def _seeds() -> list[tuple[str, str, dict[str, str], bytes]]:
    """(method, target, headers, body)."""
    values = [round(number / 7, 6) for number in range(32)]
    tensor = {"name": "x", "shape": [1, 32], "datatype": "FP32", "data": values}
    two = {**tensor, "shape": [2, 32], "data": values * 2}
    nested = {**tensor, "data": [values]}
    binary = {"name": "x", "shape": [1, 32], "datatype": "FP32", "parameters": {"binary_data_size": 128}}
    text = json.dumps({"inputs": [binary], "parameters": {"binary_data_output": True}}).encode()
    behind = struct.pack("<32f", *values)
    bodies = [
        json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode(),
        json.dumps({"inputs": [two]}).encode(),
        json.dumps({"inputs": [nested], "id": "one"}).encode(),
        json.dumps({"inputs": [tensor], "outputs": [{"name": "y"}], "parameters": {"timeout": 1000}}).encode(),
        json.dumps({"inputs": [tensor], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode(),
    ]
    return [
        *[("POST", _TINY, {}, body) for body in bodies],
        *[("POST", f"/v2/models/{name}/infer", {}, body) for name, body in _beside()],
        ("POST", _TINY, {"inference-header-content-length": str(len(text))}, text + behind),
        ("POST", _TINY, {"inference-header-content-length": "0"}, behind),
        ("POST", "/v1/models/tiny:predict", {}, json.dumps({"instances": [values]}).encode()),
        ("POST", "/v1/models/tiny:predict", {}, json.dumps({"inputs": {"x": [values]}}).encode()),
        ("POST", "/v2/repository/index", {}, b'{"ready":true}'),
        ("GET", "/v2", {}, b""),
        ("GET", "/v2/models/tiny/versions/1", {}, b""),
        ("GET", "/v2/models/tiny/config", {}, b""),
        ("GET", "/v2/models/stats", {}, b""),
        ("GET", "/v1/models/tiny/metadata", {}, b""),
        ("HEAD", "/metrics", {}, b""),
    ]


def _beside() -> list[tuple[str, bytes]]:
    """A usual question to every other model."""
    x = {"name": "x", "shape": [1, 2]}
    questions: list[tuple[str, list[dict[str, Any]]]] = [
        ("one", [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [5]}]),
        ("one", [{"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1.5, 2.5]}]),
        ("numbers", [{**x, "datatype": "INT64", "data": [7, -8]}]),
        ("flags", [{**x, "datatype": "BOOL", "data": [True, False]}]),
        ("words", [{**x, "datatype": "BYTES", "data": ["a", "ß"]}]),
        ("lookup", [{"name": "i", "shape": [1], "datatype": "INT64", "data": [3]}]),
        (
            "mixed",
            [
                {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
                {"name": "b", "shape": [1, 2], "datatype": "FP32", "data": [3, 4]},
                {"name": "s", "shape": [1], "datatype": "BYTES", "data": ["b"]},
            ],
        ),
    ]
    return [(name, json.dumps({"inputs": inputs}, separators=(",", ":")).encode()) for name, inputs in questions]


def mutated(choice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One to four changes somewhere."""
    out = bytearray(data)
    for _ in range(choice.randint(1, 4)):
        at = choice.randint(0, len(out))
        end = min(len(out), at + choice.choice([1, 1, 2, 8, 40]))
        match choice.randrange(7):
            case 6:
                opening = out.find(b"[", at)
                closing = out.find(b"]", opening)
                if 0 <= opening < closing:  # a list, emptied or filled anew
                    out[opening + 1 : closing] = choice.choice([b"", b" ", b"null", b"1,,2", *_WORDS])
            case 0 if at < len(out):
                out[at] ^= 1 << choice.randrange(8)
            case 1:
                del out[at:end]
            case 2:
                out[at:at] = out[at:end]
            case 3:
                out[at:end] = choice.choice(_WORDS)
            case 4:
                out[at:at] = choice.choice(_WORDS)
            case _:
                other = choice.choice(others)
                begin = choice.randint(0, len(other))
                out[at:end] = other[begin : begin + choice.choice([4, 40, 400])]
    return bytes(out)


def mutants(seed: int, count: int) -> list[bytes]:
    """Whole requests, mutated anywhere, with a content-length that mostly fits what the body became."""
    choice, found = random.Random(seed), []
    seeds = _seeds()
    others = [body for *_, body in seeds if body]
    for _ in range(count):
        method, target, headers, body = choice.choice(seeds)
        if choice.random() < 0.7:
            body = mutated(choice, body, others)
        lines = [f"{method} {target} HTTP/1.1", "host: fuzz", *(f"{name}: {value}" for name, value in headers.items())]
        data = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
        if choice.random() < 0.5:
            data = mutated(choice, data, others)
        found.append(data)
    return found


class _Kept:
    """An exchange that keeps the status."""

    gone = False
    status = 0

    def hold(self, size: int) -> bool:
        return True

    def respond(self, status: int, body: bytes, headers: Any = ()) -> None:
        assert not self.status, "answered twice"
        self.status = status


async def in_process(handler: Handler, seed: int, count: int) -> tuple[Counter[int], list[str]]:
    """Statuses of mutated bodies, and what went wrong: 500s, exceptions, hangs."""
    choice, seeds = random.Random(seed), _seeds()
    others = [body for *_, body in seeds if body]
    statuses: Counter[int] = Counter()
    wrong = []
    for start in range(0, count, _TOGETHER):
        asked: list[tuple[_Kept, bytes]] = []
        focus = choice.choice([None, choice.choice(seeds)[1]])  # half of the time all go to one model, to share runs
        chosen = [seed for seed in seeds if focus in (None, seed[1])]
        for _ in range(min(_TOGETHER, count - start)):
            method, target, headers, body = choice.choice(chosen)
            if choice.random() < 0.9:
                body = mutated(choice, body, others)
            path = target.encode()
            if choice.random() < 0.1:
                path = mutated(choice, path, others)
            kept = _Kept()
            asked.append((kept, body))
            try:
                if headers or choice.random() < 0.1:
                    read = {name.encode(): value.encode() for name, value in headers.items()}
                    handler.submit_with(read, method.encode(), path, body, kept)
                else:
                    handler.submit(method.encode(), path, body, kept)
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error} for {path!r} {body[:500]!r}")
        deadline = perf_counter() + PATIENCE
        while not all(kept.status for kept, _ in asked) and perf_counter() < deadline:
            await asyncio.sleep(0)
        for kept, body in asked:
            statuses[kept.status] += 1
            if kept.status in (0, 500):
                wrong.append(f"{kept.status or 'no answer'} for {body[:500]!r}")
    return statuses, wrong


async def over_the_wire(port: int, requests: Sequence[bytes], together: int = 32) -> tuple[Counter[int], list[str]]:
    """Each on a connection of its own that is ended behind it; statuses of every answer, and what went wrong."""
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    left = iter(requests)

    async def caller() -> None:
        for data in left:
            try:
                answer = await asyncio.wait_for(_exchange(port, data), PATIENCE)
            except TimeoutError:
                wrong.append(f"a hang for {data[:500]!r}")
                continue
            found = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]
            statuses.update(found or [0])
            if 500 in found:
                wrong.append(f"500 for {data[:500]!r}")

    await asyncio.gather(*(caller() for _ in range(together)))
    return statuses, wrong


async def _exchange(port: int, data: bytes) -> bytes:
    """What comes back before the server closes, or has nothing more to say to half a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        # A last request that closes: without it a half request, or a whole one, would be waited behind for long.
        writer.write(data + b"\r\n\r\nGET /v2 HTTP/1.1\r\nhost: fuzz\r\nconnection: close\r\n\r\n")
        parts = []
        with_patience = 0.2
        while True:
            try:
                part = await asyncio.wait_for(reader.read(65536), with_patience if parts else 2.0)
            except TimeoutError:
                break  # the server waits for the rest of what was never sent; that is what its time limits are for
            if not part:
                break
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        writer.transport.abort()


def measure(inside: int = IN_PROCESS, outside: int = OVER_THE_WIRE) -> dict[str, Any]:
    """Statuses by number, and findings."""
    with tempfile.TemporaryDirectory() as folder:
        publish_all(Path(folder), "tiny", BESIDE)
        repository = Repository(Path(folder))
        repository.load()
        statuses, wrong = asyncio.run(in_process(handler_of(Service(repository), ServerSettings()), 1, inside))
        repository.close()
    with watched("tiny", beside=BESIDE) as server:
        wire, wrong_there = asyncio.run(over_the_wire(server.port, mutants(2, outside)))
        alive = server.alive
    return {
        "in_process": {str(status): count for status, count in sorted(statuses.items())},
        "over_the_wire": {str(status): count for status, count in sorted(wire.items())},
        "findings": [*wrong, *wrong_there][:20],
        "held": {"no crash, no hang, no 500": not wrong and not wrong_there, "alive": alive},
    }

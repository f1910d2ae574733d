"""Nonsense in frames, header blocks and messages, in this process: what it does to a connection, and what it costs.

A batch of mutants may cost so much for each of them and for each byte, as in `benchmarks.load.cost`. Every mutant
follows from its number.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import numpy as np

from benchmarks.load.cost import BESIDE, SECONDS, SECONDS_FOR_A_BYTE, SLACK
from benchmarks.load.fuzz import mutated
from benchmarks.load.process import publish_all
from benchmarks.processes import resident
from onnxpress.serving.handler import handler_of
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol import example_messages, predict_messages
from onnxpress.serving.protocol.infer_messages import InferMessages
from onnxpress.serving.protocol.protobuf import field
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.protocol.tensor_protos import written
from onnxpress.serving.routes import call_paths
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ServerSettings
from onnxpress.serving.transports.http2 import frames, hpack
from onnxpress.serving.transports.http2.connection import Http2Connection
from onnxpress.serving.transports.shared import Shared

MUTANTS = 200_000
_TOGETHER = 64
_PATIENCE = 20.0
_MEMORY = 256 << 20
"""bytes that this process may have grown by in the end"""


def _tensor(name: str, datatype: str, shape: Sequence[int]) -> bytes:
    return field(1, name.encode()) + field(2, datatype.encode()) + field(3, bytes(shape))


def _messages() -> list[tuple[bytes, bytes]]:
    """A call's path, and a usual message of it."""
    x = np.arange(32, dtype=np.float32)[None]
    infer = field(1, b"tiny") + field(3, b"id") + field(5, _tensor("x", "FP32", [1, 32])) + field(7, x.tobytes())
    typed = field(1, b"numbers") + field(5, _tensor("x", "INT64", [1, 2]) + field(5, field(3, b"\x07\xac\x02")))
    words = field(1, b"words") + field(5, _tensor("x", "BYTES", [1, 2]) + field(5, field(8, b"a") + field(8, b"b")))
    parameter = field(1, b"timeout") + field(2, b"\x10\xe8\x07")
    with_parameters = field(1, b"tiny") + field(4, parameter) + infer[6:]
    spec = field(1, field(1, b"tiny") + field(3, b"serving_default"))
    predict = spec + field(2, field(1, b"x") + field(2, written("float32", x))) + field(3, b"y")
    short = spec + field(2, field(1, b"x") + field(2, written("float32", x)[:12] + b"\x2a\x04\0\0\x80\x3f"))
    feature = field(1, b"x") + field(2, field(2, field(1, x.tobytes())))
    classify = spec + field(2, field(1, field(1, field(1, field(1, feature)))))
    number = field(1, b"n") + field(2, field(3, field(1, b"\x01\x02")))
    regress = spec + field(2, field(2, field(1, field(1, field(1, feature + number))) + field(2, field(1, number))))
    predictions = f"/{call_paths.PREDICTION}/".encode()
    return [
        *((call_paths.INFER, one) for one in (infer, typed, words, with_parameters)),
        (call_paths.INFER_STREAM, infer),
        (predictions + b"Predict", predict),
        (predictions + b"Predict", short),
        (predictions + b"Classify", classify),
        (predictions + b"Regress", regress),
        (predictions + b"GetModelMetadata", spec + field(2, b"signature_def")),
        (call_paths.CHECK, field(1, b"tiny")),
        (call_paths.WATCH, field(1, b"tiny")),
        (call_paths.LIST, b""),
        *((path, field(4, b"inference.ModelInferRequest")) for path in call_paths.REFLECTED),
        (b"/inference.GRPCInferenceService/ModelConfig", field(1, b"tiny") + field(2, b"1")),
        (b"/inference.GRPCInferenceService/RepositoryModelLoad", field(2, b"tiny") + field(3, parameter)),
        (b"/inference.GRPCInferenceService/None", b""),
    ]


def _fields(path: bytes) -> list[hpack.Field]:
    return [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"fuzz"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers"), (b"grpc-timeout", b"5S"),
    ]  # fmt: skip


def _indexed(fields: Sequence[hpack.Field]) -> bytes:
    """A block that puts all its fields into the other side's table."""
    parts = []
    for name, value in fields:
        parts.append(b"\x40" + bytes([len(name)]) + name + bytes([len(value)]) + value)
    return b"".join(parts)


def _conversation(choice: random.Random, seeds: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The frames of a client with a few requests, most of them as they should be."""
    found = [frames.settings({frames.INITIAL_WINDOW_SIZE: choice.choice([0, 10, 65535, 1 << 20])})]
    for number in range(1, 2 * choice.randint(1, 6), 2):
        path, message = choice.choice(seeds)
        if choice.random() < 0.2:
            message = mutated(choice, message, [one for _, one in seeds])
        block = choice.choice([hpack.encoded, _indexed])(_fields(path))
        packed = b"\0" + len(message).to_bytes(4, "big") + message
        head = frames.frame(frames.HEADERS, choice.choice([4, 4, 4, 5, 0, 12, 36]), number, block)
        body = [frames.frame(frames.DATA, choice.choice([0, 1, 1, 1, 8, 9]), number, packed)]
        if choice.random() < 0.3:
            body = [frames.frame(frames.DATA, 0, number, packed[:7]), frames.frame(frames.DATA, 1, number, packed[7:])]
        more = [
            frames.frame(frames.PING, 0, 0, bytes(8)), frames.rst_stream(number, 8), frames.window_update(number, 1000),
            frames.window_update(0, 5), frames.settings({frames.INITIAL_WINDOW_SIZE: choice.choice([0, 1, 1 << 30])}),
            frames.frame(frames.PRIORITY, 0, number, b"\0\0\0\0\1"), frames.goaway(0, 0),
            frames.frame(frames.CONTINUATION, 4, number, block), frames.frame(99, 255, number, b"?"),
        ]  # fmt: skip
        found += [head, *body, *([choice.choice(more)] if choice.random() < 0.4 else [])]
    return b"".join(found)


def _bent(choice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Mostly a few bytes changed, so that the frames behind it are still frames."""
    if choice.random() < 0.4:
        return mutated(choice, data, others)
    out = bytearray(data)
    for _ in range(choice.randint(0, 5)):
        if out:
            out[choice.randrange(len(out))] = choice.choice([0, 1, 127, 128, 255, choice.randrange(256)])
    return bytes(out)


class _Transport(asyncio.Transport):
    """Takes what is sent, and is closed as a socket is."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


Round = Callable[[range], tuple[int, list[str], Counter[str]]]
"""numbers of mutants → their bytes, what went wrong, and what came of them"""


def _measured(count: int, one: Round) -> dict[str, Any]:
    """All mutants, with the CPU time of this process held against their bytes."""
    found: Counter[str] = Counter()
    wrong: list[str] = []
    size, began, worst = 0, process_time(), 0.0
    for start in range(0, count, _TOGETHER):
        numbers = range(start, min(count, start + _TOGETHER))
        before = process_time()
        length, faults, outcomes = one(numbers)
        spent = process_time() - before
        allowed = SLACK + SECONDS * len(numbers) + SECONDS_FOR_A_BYTE * length
        worst = max(worst, spent / allowed)
        if spent > allowed and one(numbers) and process_time() - before - spent > allowed:
            wrong.append(f"mutants from {start} cost {spent:.3f} s, {allowed:.3f} are allowed")
        size += length
        wrong += faults
        found += outcomes
    seconds = process_time() - began
    return {
        "mutants": count, "bytes": size, "cpu_seconds": seconds, "us_for_one": seconds / count * 1e6,
        "worst_batch_of_allowed": worst, "came_of_it": dict(sorted(found.items())), "findings": wrong[:20],
    }  # fmt: skip


def header_blocks(numbers: range) -> tuple[int, list[str], Counter[str]]:
    """Several blocks for one decoder each, which must be read or refused."""
    size, wrong = 0, list[str]()
    found: Counter[str] = Counter()
    for number in numbers:
        choice = random.Random(number)
        decoder = hpack.Decoder(4096)
        for _ in range(choice.randint(1, 4)):
            block = choice.choice([hpack.encoded, _indexed])(_fields(b"/v2/models/tiny/infer"))
            table = [b"\x3f\xe1\x1f", b"\x20", b"\xbe", b"\xff\x80\x80\x80", b"\x82", bytes([0x80 | 62])]
            block = _bent(choice, choice.choice([b"", choice.choice(table)]) + block, table)
            size += len(block)
            try:
                decoder.decode(block)
            except hpack.Unreadable:
                found["unreadable"] += 1
                break
            except hpack.TooLong:
                found["too long"] += 1
            except Exception as error:
                wrong.append(f"header block {number}: {type(error).__name__}: {error}")
            else:
                found["read"] += 1
            if sum(len(name) + len(value) + 32 for name, value in decoder.table) > hpack.TABLE_BYTES:
                wrong.append(f"header block {number}: the table is too large")
    return size, wrong, found


def messages_for(reader: Reader) -> Round:
    """Messages of all that is read by tables or by hand, which must be read or refused."""
    seeds = _messages()
    others = [message for _, message in seeds]
    infer = InferMessages()
    readers = {b"Predict": predict_messages.read_predict, b"Classify": example_messages.read_classify}
    readers[b"Regress"] = example_messages.read_regress

    def one(numbers: range) -> tuple[int, list[str], Counter[str]]:
        size, wrong = 0, list[str]()
        found: Counter[str] = Counter()
        for number in numbers:
            choice = random.Random(number)
            path, message = choice.choice(seeds[:9])
            message = _bent(choice, message, others)
            if choice.random() < 0.05:
                message += field(7, b"") * 1000 + struct.pack("<Q", choice.getrandbits(64))
            size += len(message)
            try:
                read = readers.get(path.rpartition(b"/")[2])
                inputs = infer.read(message).read(reader, message) if read is None else read(reader, message)
                reader.feeds([inputs])
            except Refusal:
                found["refused"] += 1
            except Exception as error:
                wrong.append(f"message {number}: {type(error).__name__}: {error}")
            else:
                found["read"] += 1
        return size, wrong, found

    return one


def frames_for(shared: Shared, loop: asyncio.AbstractEventLoop) -> Round:
    """Whole conversations of one connection each, which must end well or with a word of the RFC."""
    seeds = _messages()

    async def talk(numbers: range) -> tuple[int, list[str], Counter[str]]:
        size, wrong = 0, list[str]()
        found: Counter[str] = Counter()
        connections = []
        for number in numbers:
            choice = random.Random(number)
            data = _bent(choice, _conversation(choice, seeds), [one for _, one in seeds])
            size += len(data)
            transport = _Transport()
            connection = Http2Connection(shared, set(), lambda: None, transport)
            connections.append((connection, transport, number))
            try:
                cut = choice.randint(0, len(data))
                connection.begin(data[:cut])
                connection.data_received(data[cut:])
                if choice.random() < 0.3:
                    connection.eof_received()
            except Exception as error:
                wrong.append(f"conversation {number}: {type(error).__name__}: {error}")
        for _ in range(20):
            await asyncio.sleep(0)
        for connection, transport, number in connections:
            said = b"".join(transport.sent)
            for kind, payload in _sent(said):
                if kind == frames.GOAWAY:
                    code = int.from_bytes(payload[4:8], "big")
                    found[f"ended with {code}"] += 1
                    if code == frames.INTERNAL_ERROR:
                        wrong.append(f"conversation {number}: {payload[8:]!r}")
                elif kind == frames.HEADERS:
                    found["headers"] += 1
            transport.closed = True
            connection.connection_lost(None)
        if shared.traffic.errors[500]:
            wrong.append(f"an answer of 500 among the conversations {numbers}")
            shared.traffic.errors.clear()
        deadline = monotonic() + _PATIENCE
        while shared.held.taken and monotonic() < deadline:  # some run in a thread, and answer nobody later
            await asyncio.sleep(0.001)
        if shared.held.taken:
            wrong.append(f"{shared.held.taken} bytes are still held behind the conversations {numbers}")
            shared.held.taken = 0
        return size, wrong, found

    return lambda numbers: loop.run_until_complete(talk(numbers))


def _sent(data: bytes) -> list[tuple[int, bytes]]:
    """Kinds and payloads of the frames that were sent."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        found.append((data[at + 3], data[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


def measure(count: int | None = None) -> dict[str, Any]:
    """Of each kind so many; FUZZ_MUTANTS in the environment makes it shorter."""
    count = count or int(os.environ.get("FUZZ_MUTANTS", MUTANTS))
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder:
        publish_all(Path(folder), "tiny", BESIDE)
        repository = Repository(Path(folder))
        repository.load()
        settings = ServerSettings()
        shared = Shared(handler_of(Service(repository), settings), settings.limits)
        engine = repository.find("tiny", None).engine
        talk = frames_for(shared, loop)
        talk(range(_TOGETHER))  # loads what is loaded when it is first asked
        memory = resident(os.getpid())
        found = {
            "header blocks": _measured(count, header_blocks),
            "messages": _measured(count, messages_for(Reader(engine.inputs, engine.outputs))),
            "frames": _measured(count, talk),
        }
        grown = resident(os.getpid()) - memory
        loop.run_until_complete(asyncio.sleep(0.6))  # who watches is looked at a last time
        repository.close()
    loop.close()
    held = {f"{name}: no crash, no 500, cost follows bytes": not one["findings"] for name, one in found.items()}
    return {**found, "grown_bytes": grown, "held": held | {"memory is given back": grown < _MEMORY}}

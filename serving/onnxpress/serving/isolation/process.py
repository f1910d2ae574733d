"""The process that holds one model's session and nothing else, and how arrays come and go over its socket.

Started by `onnxpress.serving.isolation.session`: python -P -m onnxpress.serving.isolation.process DESCRIPTOR
The job comes over the socket: a manifest's settings may be longer than the kernel lets a command line be.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import decoders
from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine.arena import ArenaShrinkage
from onnxpress.serving.engine.runtime import onnxruntime
from onnxpress.serving.engine.sessions import Session, local_session
from onnxpress.serving.parent_death import end_with_parent

_SIZE = struct.Struct("<I")


class Job(msgspec.Struct, frozen=True):
    """What the process is started with."""

    model: str
    provider: str
    settings: SessionSettings
    threads: int | None
    prepack: bool
    custom_ops: list[str]


class Value(msgspec.Struct, frozen=True):
    """An input or output as the runtime describes it."""

    name: str
    type: str
    shape: list[int | str | None]


class _Array(msgspec.Struct, frozen=True):
    """An array whose bytes follow the message; strings stand in it."""

    name: str
    dtype: str
    shape: list[int]
    strings: list[str] | None = None


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question (names of outputs, inputs as arrays), its answer (outputs as arrays), or what came of loading."""

    arrays: list[_Array] = []
    names: list[str] = []
    inputs: list[Value] = []
    outputs: list[Value] = []
    optional: list[Value] = []
    error: str | None = None
    own: bool = False
    """whether the error is the process's own, not the model's"""


def send(
    connection: socket.socket,
    message: Message,
    arrays: Mapping[str, Array] | None = None,
    deadline: float | None = None,
) -> None:
    """Write the message and its arrays. Raises TimeoutError past the deadline (time.monotonic), OSError.

    Whatever else it raises it raises before anything is written.
    """
    described: list[_Array] = []
    buffers: list[memoryview] = []
    for name, value in (arrays or {}).items():
        if value.dtype == object:
            described.append(_Array(name, "object", list(value.shape), value.ravel().tolist()))
            continue
        described.append(_Array(name, value.dtype.str, list(value.shape)))
        if value.size:
            buffers.append(np.asarray(value, order="C").reshape(-1).view(np.uint8).data)
    head = msgspec.msgpack.encode(msgspec.structs.replace(message, arrays=described))
    parts = [memoryview(_SIZE.pack(len(head)) + head), *buffers]
    for part in parts:
        _let_wait_until(deadline, connection)
        connection.sendall(part)


def receive(connection: socket.socket, deadline: float | None = None) -> tuple[Message, list[Array]]:
    """Read a message and its arrays. Raises TimeoutError past the deadline, EOFError at the end, OSError."""
    (size,) = _SIZE.unpack(_exactly(connection, memoryview(bytearray(_SIZE.size)), deadline))
    message = decoders.of_msgpack(Message).decode(_exactly(connection, memoryview(bytearray(size)), deadline))
    arrays: list[Array] = []
    for one in message.arrays:
        value: Array
        if one.strings is not None:
            value = np.empty(len(one.strings), object)
            value[:] = one.strings
            arrays.append(value.reshape(one.shape))
            continue
        value = np.empty(one.shape, one.dtype)
        if value.size:
            _exactly(connection, value.reshape(-1).view(np.uint8).data, deadline)
        arrays.append(value)
    return message, arrays


def send_job(connection: socket.socket, job: Job, deadline: float | None = None) -> None:
    """Tell a new process what it is for. Raises TimeoutError past the deadline, OSError."""
    encoded = msgspec.json.encode(job)
    _let_wait_until(deadline, connection)
    connection.sendall(_SIZE.pack(len(encoded)) + encoded)


def _receive_job(connection: socket.socket) -> Job:
    (size,) = _SIZE.unpack(_exactly(connection, memoryview(bytearray(_SIZE.size)), None))
    return msgspec.json.decode(_exactly(connection, memoryview(bytearray(size)), None), type=Job)


def _exactly(connection: socket.socket, buffer: memoryview, deadline: float | None) -> memoryview:
    """Fill the buffer."""
    rest = buffer
    while rest:
        _let_wait_until(deadline, connection)
        count = connection.recv_into(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return buffer


def _let_wait_until(deadline: float | None, connection: socket.socket) -> None:
    if deadline is None:
        return
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)


def _values(described: Sequence[Any]) -> list[Value]:
    return [Value(one.name, one.type, list(one.shape)) for one in described]


def _live(connection: socket.socket) -> None:
    """Load, say so, answer until the server is gone."""
    try:
        job = _receive_job(connection)
    except EOFError:
        return
    try:
        session = local_session(job.model, job.provider, job.settings, job.threads, job.prepack, job.custom_ops)
    except OnnxpressError as error:
        send(connection, Message(error=error.what))
        return
    send(
        connection,
        Message(inputs=_values(session.inputs), outputs=_values(session.outputs), optional=_values(session.optional)),
    )
    arena = ArenaShrinkage(job.provider)
    while _answer(connection, session, arena):
        pass


def _answer(connection: socket.socket, session: Session, arena: ArenaShrinkage) -> bool:
    """Answer one question; False where there are no more. What it took is free again before the next one is awaited."""
    try:
        message, arrays = receive(connection)
    except EOFError:
        return False
    feeds = {one.name: value for one, value in zip(message.arrays, arrays, strict=True)}
    try:
        options = onnxruntime().RunOptions()
        arena.hand_back(feeds, options)
        answers = session.run(message.names, feeds, options)
    except MemoryError:
        send(connection, Message(error="no memory", own=True))
        return True
    except Exception as error:  # the runtime's exceptions share no base of their own
        send(connection, Message(error=str(error)))
        return True
    try:
        send(connection, Message(), dict(zip(message.names, answers, strict=True)))
    except OSError:
        raise
    except Exception as error:  # nothing of it was sent
        send(connection, Message(error=f"its answer cannot be sent: {type(error).__name__}", own=True))
    return True


def _end_with_the_server(connection: socket.socket) -> None:
    """A run that hangs, or a load, would not notice that the other end of the socket is gone."""
    end_with_parent()
    # It may have gone before it was asked to take this process along.
    if select.select([connection], [], [], 0)[0] and not connection.recv(1, socket.MSG_PEEK):
        sys.exit()


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with contextlib.suppress(ConnectionError):  # the server went first
        server = socket.socket(fileno=int(sys.argv[1]))
        _end_with_the_server(server)
        _live(server)

"""The service as an ASGI application, behind the smallest host that shows what it costs: a request a connection.

`python -m benchmarks.load.asgi_host FOLDER` prints its URL. Most of what a host does for itself (chunks, time limits)
is not here. A body is handed over in pieces, and ends where it should, or where its client ends.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import MutableMapping
from typing import Any

from onnxpress.serving.transports.asgi import Application, application

_PIECE = 4096
_MOST = 70 << 20


async def _serve(app: Application, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        scope = _scope((await reader.readuntil(b"\r\n\r\n"))[:-4])
        if scope is not None:
            length = dict(scope["headers"]).get(b"content-length", b"0")
            try:
                body = await reader.readexactly(min(int(length), _MOST))
            except asyncio.IncompleteReadError as error:
                body = error.partial
            await _call(app, scope, body, writer)
        await writer.drain()
    except (ConnectionError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # a head that is none
    finally:
        writer.close()


def _scope(head: bytes) -> dict[str, Any] | None:
    """What ASGI is told of the request; None where the head is none."""
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ")
    headers = [line.partition(b":") for line in lines]
    if len(words) != 3 or not all(colon for _, colon, _ in headers):
        return None
    path, _, query = words[1].partition(b"?")
    return {
        "type": "http",
        "method": words[0].decode("latin-1"),
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.strip().lower(), value.strip()) for name, _, value in headers],
    }


async def _call(app: Application, scope: dict[str, Any], body: bytes, writer: asyncio.StreamWriter) -> None:
    pieces = iter(range(0, max(1, len(body)), _PIECE))

    async def receive() -> MutableMapping[str, Any]:
        start = next(pieces, None)
        if start is None:
            return await asyncio.Future()  # the client is there until it is answered
        more = start + _PIECE < len(body)
        return {"type": "http.request", "body": body[start : start + _PIECE], "more_body": more}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            lines = [b"%b: %b\r\n" % pair for pair in message["headers"]]
            writer.write(b"HTTP/1.1 %d\r\n%b\r\n" % (message["status"], b"".join(lines)))
        else:
            writer.write(message["body"])
            await writer.drain()

    await app(scope, receive, send)


async def _main(folder: str) -> None:
    app = application(folder)
    server = await asyncio.start_server(lambda *ends: _serve(app, *ends), "127.0.0.1", 0)
    async with server:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))

"""`onnxpress.AsyncClient`: a server asked from an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self, overload

from onnxpress.core.arrays import Array
from onnxpress.core.errors import ServerError, UsageError
from onnxpress.serving.client import address as addresses
from onnxpress.serving.client import tls
from onnxpress.serving.client.conversation import Conversation, ModelMetadata, Pause, Result, ServerMetadata, Steps
from onnxpress.serving.client.http import Answer, AnswerParser, Request

_CHUNK = 1 << 18


class AsyncClient:
    """Client for asyncio: the same names and arguments, and `await` before each call.

    A client belongs to the event loop that it is first used in. Calls may run side by side; at most `connections` are
    open at a time, and what is beyond waits for one, within its own `timeout`. A call that is cancelled takes its
    connection with it, so that the server need not answer it. Errors are those of Client, and UsageError for
    `connections` below 1 and for another event loop.

    >>> async def main():
    ...     async with onnxpress.AsyncClient("http://127.0.0.1:8000") as client:
    ...         calls = [client.infer("iris", [row]) for row in rows]
    ...         return [answers["label"].item() for answers in await asyncio.gather(*calls)]
    >>> asyncio.run(main())
    ['setosa', 'virginica']
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ca: str | Path | None = None,
        timeout: float = 60.0,
        retry_seconds: float = 10.0,
        binary: bool = True,
        headers: Mapping[str, str] | None = None,
        connections: int = 64,
    ) -> None:
        self._address = addresses.parse(url)
        self._context = tls.context(self._address, ca)
        self._conversation = Conversation(
            self._address, token=token, retry_seconds=retry_seconds, binary=binary, headers=headers
        )
        self._timeout = timeout
        if connections < 1:
            raise UsageError(f"connections is {connections}; at least one is needed")
        self._open = asyncio.Semaphore(connections)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: deque[_Connection] = deque()

    async def infer(
        self,
        model: str,
        inputs: object,
        *,
        version: int | str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """As Client.infer: output name → array, writable, of the shape and dtype that the model gives."""
        return await self._run(self._conversation.infer(model, inputs, version, outputs), timeout)

    @overload
    async def metadata(self) -> ServerMetadata: ...
    @overload
    async def metadata(self, model: str, *, version: int | str | None = None) -> ModelMetadata: ...
    async def metadata(
        self, model: str | None = None, *, version: int | str | None = None
    ) -> ServerMetadata | ModelMetadata:
        """As Client.metadata: what the model takes and answers, or without a model what the server is."""
        if model is None:
            return await self._run(self._conversation.server())
        return await self._run(self._conversation.model(model, version))

    async def ready(self, model: str | None = None, *, version: int | str | None = None) -> bool:
        """As Client.ready: whether the server, or the model, answers now."""
        return await self._run(self._conversation.ready(model, version))

    async def close(self) -> None:
        """Let go of the connections that no call is using; the client can be used again."""
        while self._idle:
            self._idle.pop().close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient({self._address.url!r})"

    async def _run(self, steps: Steps[Result], timeout: float | None = None) -> Result:
        """Carry out what the conversation says."""
        loop = asyncio.get_running_loop()
        if loop is not (self._loop or loop):
            raise UsageError("the client was used in another event loop", hint="make one for each event loop")
        self._loop = loop
        seconds = self._timeout if timeout is None else timeout
        answer: Answer | None = None
        failure: ServerError | None = None
        try:
            while True:
                step = steps.send(answer) if failure is None else steps.throw(failure)
                answer = failure = None
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    continue
                try:
                    answer = await self._ask(step, seconds)
                except ServerError as error:
                    failure = error
        except StopIteration as done:
            result: Result = done.value
            return result

    async def _ask(self, request: Request, seconds: float) -> Answer:
        where = self._address.url + request.path
        try:
            async with asyncio.timeout(seconds), self._open:
                return await self._answer(request)
        except TimeoutError as error:
            raise ServerError(f"there was no answer within {seconds:g} s", where=where) from error
        except OSError as error:
            raise tls.unreachable(error, where) from error
        except ServerError as error:
            error.where = error.where or where
            raise

    async def _answer(self, request: Request) -> Answer:
        head = request.head(self._address.authority, self._address.prefix, self._conversation.headers)
        while True:
            connection = self._kept()
            fresh = connection is None
            if connection is None:
                streams = await asyncio.open_connection(self._address.host, self._address.port, ssl=self._context)
                connection = _Connection(*streams)
            try:
                answer, again = await connection.ask((head, *request.body))
            except BaseException as error:
                connection.close()
                # A server may close a kept connection just as it is used: nothing was answered, so ask anew.
                if fresh or connection.answered or not isinstance(error, ConnectionError):
                    raise
                continue
            if again:
                self._idle.append(connection)
            else:
                connection.close()
            return answer

    def _kept(self) -> _Connection | None:
        """A connection to use again, the last used first; None where a new one is needed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return None


class _Connection:
    """One connection, for one request at a time. Raises OSError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answered = False
        """whether a byte of an answer to the latest request has come"""
        self._reader, self._writer = reader, writer

    async def ask(self, parts: Sequence[bytes]) -> tuple[Answer, bool]:
        """The answer, and whether the connection can be used again. ConnectionError where it is lost."""
        self.answered = False
        lost = ""
        try:
            self._writer.writelines(parts)
            await self._writer.drain()
        except TimeoutError:
            raise
        except OSError as error:
            lost = str(error)  # a server that refuses a large body answers before it has read all of it
        parser = AnswerParser()
        while not parser.complete:
            try:
                data = await self._reader.read(_CHUNK)
            except TimeoutError:
                raise
            except OSError as error:
                raise ConnectionResetError(lost or str(error)) from None
            if not data and not self.answered:
                raise ConnectionResetError(lost or "it closed the connection without an answer")
            self.answered = True
            parser.feed(data)
        return parser.answer, parser.keep_alive and not lost

    def usable(self) -> bool:
        """Whether it is still open."""
        return not self._reader.at_eof() and not self._writer.is_closing()

    def close(self) -> None:
        """Let go of it, at once: nothing is owed to either side."""
        self._writer.transport.abort()

"""`onnxpress.Client`: a server asked with blocking sockets, from any number of threads."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

from onnxpress.core.arrays import Array
from onnxpress.core.errors import ServerError
from onnxpress.serving.client import address as addresses
from onnxpress.serving.client import tls
from onnxpress.serving.client.conversation import Conversation, ModelMetadata, Pause, Result, ServerMetadata, Steps
from onnxpress.serving.client.http import Answer, AnswerParser, Request

if TYPE_CHECKING:
    from ssl import SSLContext

_CHUNK = 1 << 18


class Client:
    """Asks a server: numpy in, numpy out, as binary tensors; safe to use from several threads.

    It is for any server of the Open Inference Protocol V2: this one, Triton, OpenVINO Model Server. Connections are
    kept and used again; `close`, or `with`, lets them go. AsyncClient is the same for asyncio.

    `url` is the server's, with the path that it is mounted below. `token` is sent as a bearer token. `ca` is a PEM file
    with the certificates to trust for https, instead of the system's. `timeout` are the seconds for one answer, from
    connecting to its last byte. A 503 is asked again when its Retry-After says, while that ends within `retry_seconds`;
    0 asks once. `binary=False` sends and wants JSON instead, for a server without the binary extension. `headers` go
    with every request, for a gateway that wants them.

    Raises UsageError for a URL or a file that cannot be used. Every call raises ServerError where there is no answer,
    or one that is not about the question (its `status` tells: 401, 503), BadModel for a model that is not there,
    BadData for inputs that are refused.

    >>> with onnxpress.Client("http://127.0.0.1:8000") as client:
    ...     client.infer("iris", {"features": [[5.1, 3.5, 1.4, 0.2]]})["label"]
    array(['setosa'], dtype=object)
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
    ) -> None:
        self._address = addresses.parse(url)
        self._context = tls.context(self._address, ca)
        self._conversation = Conversation(
            self._address, token=token, retry_seconds=retry_seconds, binary=binary, headers=headers
        )
        self._timeout = timeout
        self._idle: deque[_Connection] = deque()

    def infer(
        self,
        model: str,
        inputs: object,
        *,
        version: int | str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Output name → array, writable, of the shape and dtype that the model gives.

        `inputs` maps names to arrays or nested lists; for a model with one input it may be the value alone. They have
        the shapes and dtypes that `metadata` tells; as with `Engine.__call__`, other dtypes are taken where no value
        changes but for a float's rounding. Strings are `str`, bfloat16 is held as float32. `version` is a number or a
        label, by default the server's choice; `outputs` names those wanted, by default all.

        >>> client = onnxpress.Client("http://127.0.0.1:8000")
        >>> client.infer("iris", [[5.1, 3.5, 1.4, 0.2]], outputs=["label"])
        {'label': array(['setosa'], dtype=object)}
        """
        return self._run(self._conversation.infer(model, inputs, version, outputs), timeout)

    @overload
    def metadata(self) -> ServerMetadata: ...
    @overload
    def metadata(self, model: str, *, version: int | str | None = None) -> ModelMetadata: ...
    def metadata(self, model: str | None = None, *, version: int | str | None = None) -> ServerMetadata | ModelMetadata:
        """What the model takes and answers, or without a model what the server is.

        >>> client = onnxpress.Client("http://127.0.0.1:8000")
        >>> print(*client.metadata("iris").inputs)
        features:float32[features_0,4]
        """
        if model is None:
            return self._run(self._conversation.server())
        return self._run(self._conversation.model(model, version))

    def ready(self, model: str | None = None, *, version: int | str | None = None) -> bool:
        """Whether the server, or the model, answers now. False too while nothing listens there.

        >>> client = onnxpress.Client("http://127.0.0.1:8000")
        >>> client.ready(), client.ready("iris")
        (True, True)
        """
        return self._run(self._conversation.ready(model, version))

    def close(self) -> None:
        """Let go of the connections; the client can be used again."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._address.url!r})"

    def _run(self, steps: Steps[Result], timeout: float | None = None) -> Result:
        """Carry out what the conversation says."""
        seconds = self._timeout if timeout is None else timeout
        answer: Answer | None = None
        failure: ServerError | None = None
        try:
            while True:
                step = steps.send(answer) if failure is None else steps.throw(failure)
                answer = failure = None
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    continue
                try:
                    answer = self._ask(step, seconds)
                except ServerError as error:
                    failure = error
        except StopIteration as done:
            result: Result = done.value
            return result

    def _ask(self, request: Request, seconds: float) -> Answer:
        deadline = time.monotonic() + seconds
        head = request.head(self._address.authority, self._address.prefix, self._conversation.headers)
        where = self._address.url + request.path
        try:
            while True:
                connection = self._kept()
                fresh = connection is None
                if connection is None:
                    connection = _Connection(self._address, self._context, deadline)
                try:
                    answer, again = connection.ask((head, *request.body), deadline)
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
        except TimeoutError as error:
            raise ServerError(f"there was no answer within {seconds:g} s", where=where) from error
        except OSError as error:
            raise tls.unreachable(error, where) from error
        except ServerError as error:
            error.where = error.where or where
            raise

    def _kept(self) -> _Connection | None:
        """A connection to use again, the last used first; None where a new one is needed."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.usable():
                return connection
            connection.close()


class _Connection:
    """One connection, for one request at a time. Raises OSError, of which TimeoutError is one kind."""

    def __init__(self, address: addresses.Address, context: SSLContext | None, deadline: float) -> None:
        self.answered = False
        """whether a byte of an answer to the latest request has come"""
        self._nothing_yet: tuple[type[OSError], ...] = (BlockingIOError,)
        self._socket = socket.create_connection((address.host, address.port), timeout=_left(deadline))
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                from ssl import SSLWantReadError

                self._nothing_yet = (BlockingIOError, SSLWantReadError)
                self._socket.settimeout(_left(deadline))
                self._socket = context.wrap_socket(self._socket, server_hostname=address.host)
        except BaseException:
            self._socket.close()
            raise

    def ask(self, parts: Sequence[bytes], deadline: float) -> tuple[Answer, bool]:
        """The answer, and whether the connection can be used again. ConnectionError where it is lost."""
        self.answered = False
        lost = ""
        try:
            for part in parts:
                self._socket.settimeout(_left(deadline))
                self._socket.sendall(part)
        except TimeoutError:
            raise
        except OSError as error:
            lost = str(error)  # a server that refuses a large body answers before it has read all of it
        parser = AnswerParser()
        while not parser.complete:
            self._socket.settimeout(_left(deadline))
            try:
                data = self._socket.recv(_CHUNK)
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
        """Whether it is still open: a kept connection has nothing to read but its end."""
        try:
            self._socket.settimeout(0)
            self._socket.recv(1)
        except self._nothing_yet:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds

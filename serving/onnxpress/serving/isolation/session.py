"""A model in a process of its own, so that one that crashes or hangs takes nobody with it.

A process that ends is started again, after a pause that grows while it keeps ending; one that does not answer within
the limit is ended first. Meanwhile requests for this model are refused with the reason, and all others go on.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import Engine
from onnxpress.serving.isolation.process import Job, Message, Value, receive, send
from onnxpress.serving.protocol.errors import Refusal

_COMMAND = (sys.executable, "-P", "-m", "onnxpress.serving.isolation.process")
"""-P: the folder it is started in is no place to import from"""
_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_SECONDS = 60.0
"""after so long the pauses begin anew"""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a model may take before its process is ended, in seconds."""

    load_seconds: float = 60.0
    run_seconds: float = 30.0


class Down(BadModel):
    """The model's process is not there, or was ended for taking too long."""


class Session:
    """Stands for the runtime's session in the server; `run` may be called from several threads, one at a time runs."""

    def __init__(
        self,
        model: str,
        provider: str,
        settings: SessionSettings,
        threads: int | None,
        prepack: bool,
        custom_ops: Sequence[str],
        limits: Limits,
    ) -> None:
        """Start the process and wait until the model is loaded. Raises BadModel where it is not, or too slowly."""
        self._model, self._limits = model, limits
        self._job = msgspec.json.encode(Job(model, provider, settings, threads, prepack, list(custom_ops))).decode()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = ""
        """why this process was ended, where that was done on purpose"""
        self._refused = ""
        """why the model cannot be loaded, in the process's words"""
        self._closed = threading.Event()
        self._settled = threading.Event()
        self._inputs: list[Value] = []
        self._outputs: list[Value] = []
        self.down = "is loading the model"
        """what the process does instead of answering; empty while it answers"""
        self.restarts = 0
        # One thread starts them all: the kernel ends a process when the thread that started it ends.
        self._keeper = threading.Thread(target=self._keep, name="isolated", daemon=True)
        self._keeper.start()
        self._settled.wait()
        if self.down:
            self.close()
            raise BadModel(self._refused or f"its process {self.down}")

    def get_inputs(self) -> list[Value]:
        """Like InferenceSession.get_inputs."""
        return self._inputs

    def get_outputs(self) -> list[Value]:
        """Like InferenceSession.get_outputs."""
        return self._outputs

    @property
    def process_id(self) -> int | None:
        """Of the process that holds the model now."""
        process = self._process
        return None if process is None or self.down else process.pid

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Like InferenceSession.run. Raises Down, or ValueError with what the runtime said."""
        with self._lock:
            connection = self._socket
            if self.down or connection is None:
                raise Down(f"the model's process {self.down}; try again")
            deadline = time.monotonic() + self._limits.run_seconds
            try:
                send(connection, Message(names=list(names)), feeds, deadline)
                message, answers = receive(connection, deadline)
            except TimeoutError:
                self._ended = self.down = f"did not answer within {self._limits.run_seconds:g} s and was ended"
                assert self._process is not None
                self._process.kill()
                raise Down(f"the model's process {self._ended}; it is started again") from None
            except (OSError, EOFError):
                raise Down("the model's process ended while it was asked; it is started again") from None
        if message.error is not None:
            raise ValueError(message.error)
        return answers

    def close(self) -> None:
        """End the process; a run under way is finished first."""
        with self._lock:
            self._closed.set()
            self.down = self.down or "was closed"
            if self._process is not None:
                self._process.kill()
        self._keeper.join()

    def _keep(self) -> None:
        """Start the process, wait for its end, start it again; until `close`, or until the first does not load."""
        failures = 0
        while not self._closed.is_set():
            started = time.monotonic()
            process, connection = self._start()
            loaded = self._load(process, connection)
            self._settled.set()
            if not loaded:
                process.kill()
            code = process.wait()
            connection.close()
            if self._closed.is_set() or (not loaded and not self._inputs):
                return
            if loaded:
                self.down = self._ended or f"was ended by {_how(code)}"
            failures = 0 if time.monotonic() - started > _STEADY_SECONDS else failures
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
            failures += 1
            when = f" in {pause:g} s" if pause else ""
            sys.stderr.write(f"{self._model}: its process {self.down}; another is started{when}\n")
            self._closed.wait(pause)
            self.restarts += 1

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C at the terminal is for the server, which drains first.
            process = subprocess.Popen(
                [*_COMMAND, str(theirs.fileno()), self._job],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        with self._lock:
            self._process, self._ended = process, ""
            if self._closed.is_set():
                process.kill()
        return process, ours

    def _load(self, process: subprocess.Popen[bytes], connection: socket.socket) -> bool:
        """Whether the process has loaded the model; `down` says why not."""
        try:
            message, _ = receive(connection, time.monotonic() + self._limits.load_seconds)
        except TimeoutError:
            self.down = f"did not load the model within {self._limits.load_seconds:g} s and was ended"
            return False
        except (OSError, EOFError, msgspec.MsgspecError):
            process.kill()
            self.down = f"was ended by {_how(process.wait())} while loading the model"
            return False
        if message.error is not None:
            self._refused = message.error
            self.down = f"cannot load the model: {message.error}"
            return False
        self._inputs, self._outputs = message.inputs, message.outputs
        with self._lock:
            self._socket = connection
            self.down = "was closed" if self._closed.is_set() else ""
        return True


class Isolated(Engine):
    """An engine whose session is in another process. Never run on the loop's thread, which must not wait for it."""

    _session: Session

    def expected_seconds(self, values: int) -> float:
        """Infinite: nobody can tell."""
        return float("inf")

    def run_all(self, feeds: dict[str, Array], values: int) -> list[Array]:
        """As Engine.run_all. Raises Refusal(503) while the process is down."""
        try:
            return super().run_all(feeds, values)
        except Down as error:
            raise Refusal(503, error.what) from None

    def adopt(self, other: Engine) -> None:
        """As Engine.adopt; the old process ends."""
        old = self._session
        super().adopt(other)
        old.close()

    @property
    def down(self) -> str:  # type: ignore[override]
        """See Session."""
        return self._session.down

    @property
    def restarts(self) -> int:  # type: ignore[override]
        """How often its process was started again."""
        return self._session.restarts

    @property
    def process_id(self) -> int | None:  # type: ignore[override]
        """See Session."""
        return self._session.process_id

    def close(self) -> None:
        """End its process."""
        self._session.close()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"itself, with exit code {code},"

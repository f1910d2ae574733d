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
from collections.abc import Sequence

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving import log
from onnxpress.serving.engine.sessions import Down
from onnxpress.serving.isolation.process import Job, Message, Value, receive, send, send_job
from onnxpress.serving.settings import ProcessSettings

_COMMAND = (sys.executable, "-P", "-m", "onnxpress.serving.isolation.process")
"""-P: the folder it is started in is no place to import from"""
_PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_FIRST_STARTS = 5
"""attempts at having a first process at all, where this machine has no descriptor, memory or process to spare"""
_STEADY_SECONDS = 60.0
"""after so long the pauses begin anew"""


class IsolatedSession:
    """A `Session` whose model is in another process; one call of `run` after the other goes there."""

    apart = True

    def __init__(
        self,
        model: str,
        provider: str,
        settings: SessionSettings,
        threads: int | None,
        prepack: bool,
        custom_ops: Sequence[str],
        limits: ProcessSettings,
    ) -> None:
        """Start the process and wait until the model is loaded. Raises BadModel where it is not, or too slowly."""
        self._model, self._limits = model, limits
        self._job = Job(model, provider, settings, threads, prepack, list(custom_ops))
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = ""
        """why this process was ended, where that was done on purpose"""
        self._refused = ""
        """why the model cannot be loaded, in the process's words"""
        self._closed = threading.Event()
        self._settled = threading.Event()
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.optional: list[Value] = []
        self.down = "is loading the model"
        """what the process does instead of answering; empty while it answers"""
        self.restarts = 0
        # One thread starts them all: the kernel ends a process when the thread that started it ends.
        self._starter = threading.Thread(target=self._keep, name="isolated", daemon=True)
        self._starter.start()
        self._settled.wait()
        if self.down:
            self.close()
            raise BadModel(self._refused or f"its process {self.down}")

    @property
    def process_id(self) -> int | None:
        """Of the process that holds the model now."""
        process = self._process
        return None if process is None or self.down else process.pid

    def placement(self) -> dict[str, int]:
        """Empty: the process does not tell."""
        return {}

    def run(self, names: list[str], feeds: dict[str, Array], _options: object = None, /) -> list[Array]:
        """See Session; the process is ended where a run takes too long.

        Raises Down, or ValueError with what the runtime said.
        """
        with self._lock:
            connection = self._socket
            if self.down or connection is None:
                raise Down(f"the model's process {self.down}; try again")
            deadline = time.monotonic() + self._limits.run_seconds
            try:
                send(connection, Message(names=names), feeds, deadline)
                message, answers = receive(connection, deadline)
            except TimeoutError:
                self._ended = self.down = f"did not answer within {self._limits.run_seconds:g} s and was ended"
                assert self._process is not None
                self._process.kill()
                raise Down(f"the model's process {self._ended}; it is started again") from None
            except (OSError, EOFError):
                raise Down("the model's process ended while it was asked; it is started again") from None
            except UnicodeEncodeError:  # nothing was written
                raise
            except BaseException as error:
                # Part of its answer may still be on the way, no memory to take it, say: the next caller would get it.
                self._ended = self.down = f"was ended after {type(error).__name__} in the midst of an answer"
                assert self._process is not None
                self._process.kill()
                raise
        if message.error is not None:
            raise (MemoryError if message.own else ValueError)(message.error)
        return answers

    def close(self) -> None:
        """End the process; a run under way is finished first."""
        with self._lock:
            self._closed.set()
            self.down = self.down or "was closed"
            if self._process is not None:
                self._process.kill()
        self._starter.join()

    def abandon(self) -> None:
        """End the process at once, and the run in it."""
        self._closed.set()
        process = self._process
        if process is not None:
            process.kill()

    def _keep(self) -> None:
        """Start the process, wait for its end, start it again; until `close`, or until the first does not load."""
        try:
            self._keep_one()
        finally:
            self._settled.set()  # whatever ended this, nobody waits for it

    def _keep_one(self) -> None:
        failures = 0
        while not self._closed.is_set():
            started = time.monotonic()
            try:
                process, connection = self._start()
            except Exception as error:  # no memory for it is no OSError
                why = error.strerror if isinstance(error, OSError) else str(error)
                self.down = f"cannot be started: {why or type(error).__name__}"
                if not self.inputs and failures + 1 >= _FIRST_STARTS:
                    return
            else:
                if not self._serve(process, connection):
                    return
            failures = 0 if time.monotonic() - started > _STEADY_SECONDS else failures
            pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
            failures += 1
            when = f" in {pause:g} s" if pause else ""
            log.say(f"{self._model}: its process {self.down}; another is started{when}")
            self._closed.wait(pause)
            self.restarts += 1

    def _serve(self, process: subprocess.Popen[bytes], connection: socket.socket) -> bool:
        """Have it load the model, and wait for its end; whether another is to be started."""
        loaded = self._load(process, connection)
        self._settled.set()
        if not loaded:
            process.kill()
        code = process.wait()
        # A run may still be about to read from it, and must find its end, not the next process behind the same number.
        with self._lock:
            connection.close()
        if self._closed.is_set() or (not loaded and not self.inputs):
            return False
        if loaded:
            self.down = self._ended or f"was ended by {_how(code)}"
        return True

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Raises OSError where there is nothing left to start a process with."""
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C at the terminal is for the server, which drains first.
            try:
                process = subprocess.Popen(
                    [*_COMMAND, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        with self._lock:
            self._process, self._ended = process, ""
            if self._closed.is_set():
                process.kill()
        return process, ours

    def _load(self, process: subprocess.Popen[bytes], connection: socket.socket) -> bool:
        """Whether the process has loaded the model; `down` says why not."""
        try:
            deadline = time.monotonic() + self._limits.load_seconds
            send_job(connection, self._job, deadline)
            message, _ = receive(connection, deadline)
        except TimeoutError:
            self.down = f"did not load the model within {self._limits.load_seconds:g} s and was ended"
            return False
        except (OSError, EOFError, msgspec.MsgspecError):
            process.kill()
            self.down = f"was ended by {_how(process.wait())} while loading the model"
            return False
        except Exception as error:  # no memory for what it says, or a path that is no text
            self.down = f"cannot be told its model: {type(error).__name__}: {error}"
            return False
        if message.error is not None:
            self._refused = message.error
            self.down = f"cannot load the model: {message.error}"
            return False
        self.inputs, self.outputs, self.optional = message.inputs, message.outputs, message.optional
        with self._lock:
            self._socket = connection
            self.down = "was closed" if self._closed.is_set() else ""
        return True


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"itself, with exit code {code},"

"""Conversion in a child process: a converter that crashes, hangs or eats the memory becomes one clear BadModel."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from onnxpress.core.errors import BadModel, OnnxpressError
from onnxpress.core.exit_code import ending
from onnxpress.core.memory import of_process
from onnxpress.export.network import Network
from onnxpress.export.source import SourceRef

if TYPE_CHECKING:
    import onnx

REQUEST, STATE, MODEL, OUTCOME, FAILURE, TALK = (
    "request.json", "state", "network.onnx", "outcome.json", "failure.pickle", "talk.txt",
)  # fmt: skip
_POLL_SECONDS = 0.1
_STACK_POLLS = 50
_SHARE_OF_FREE_MEMORY = 0.8
_FRAMES = 6


@dataclass(frozen=True, kw_only=True)
class ConversionLimits:
    """How long (seconds) and how large (bytes resident; None: 80 % of what is free then) a conversion may get."""

    seconds: float = 1800.0
    memory: int | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is to convert, and from how many bytes of weights on they are to lie beside the graph."""

    source: SourceRef
    external_above: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the child tells of a conversion that succeeded."""

    converter: str
    notes: list[str]
    talk: list[str]


def convert(
    network: Network, ref: SourceRef, limits: ConversionLimits, folder: Path, external_above: int
) -> onnx.ModelProto:
    """Have a child resolve `ref` again, take this network's weights, and convert; its notes are added to `network`.

    The empty `folder` is where parent and child meet; large weights stay there as `external_data.FILE`. Raises what
    the child's converter raised, or BadModel where the child crashed, was killed, or went over a limit.
    """
    import onnx

    request = Request(source=ref, external_above=external_above)
    (folder / REQUEST).write_bytes(msgspec.json.encode(request, enc_hook=os.fspath))
    network.write_state(folder / STATE)
    _run(folder, ref.reference, limits)
    (folder / STATE).unlink(missing_ok=True)
    outcome = msgspec.json.decode((folder / OUTCOME).read_bytes(), type=Outcome)
    network.converter = outcome.converter
    network.notes += [note for note in outcome.notes if note not in network.notes]
    network.talk += outcome.talk
    return onnx.load(str(folder / MODEL), load_external_data=False)


def _run(folder: Path, reference: str, limits: ConversionLimits) -> None:
    memory = limits.memory or int(_free_memory() * _SHARE_OF_FREE_MEMORY)
    # -P: the child's imports must not find a user's `types.py` in the working directory before Python's own.
    command = [sys.executable, "-P", "-m", "onnxpress.export.child_process.child", str(folder)]
    with (folder / TALK).open("wb") as talk:
        # The pipe tells the child that its parent is gone; a session of its own lets all that it starts be ended.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=talk, stderr=talk, start_new_session=os.name == "posix"
        )
        try:
            reason = _watch(process, limits.seconds, memory, folder / TALK)
        finally:
            _end(process)
    if reason is None and process.returncode == 0:
        return
    failure = folder / FAILURE
    if reason is None and failure.exists():
        error = pickle.loads(failure.read_bytes())  # our own file, in our own private folder
        assert isinstance(error, OnnxpressError)
        raise error
    raise BadModel(
        reason or _death(process.returncode),
        where=reference,
        hint=_tail(folder / TALK) or "the converter said nothing; run its own export call on the model to see more",
    )


def _watch(process: subprocess.Popen[bytes], seconds: float, memory: int, talk: Path) -> str | None:
    """Wait for the end; the limit that was broken, if one was."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return None
        if time.monotonic() > deadline:
            _ask_where(process, talk)
            return f"the conversion did not finish in {seconds:g} s and was ended (--time-limit)"
        used = _resident(process.pid)
        if used > memory:
            return (
                f"the conversion was ended at {used / 2**30:.1f} GiB of memory; "
                f"{memory / 2**30:.1f} GiB are allowed (--memory-limit)"
            )


def _ask_where(process: subprocess.Popen[bytes], talk: Path) -> None:
    """Let the child write the stack of what it hangs in to its talk; one that does not get to it is not waited for."""
    if not hasattr(signal, "SIGUSR1"):
        return
    process.send_signal(signal.SIGUSR1)
    for _ in range(_STACK_POLLS):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return
        if b"Current thread" in talk.read_bytes():  # which is the last one, and short
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None or os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "the converter was killed from outside, most likely because the machine ran out of memory"
    if code < 0:
        return f"the converter crashed ({ending(code)})"
    return f"the converter ended with code {code} and no result"


def _tail(path: Path, count: int = 12) -> str:
    """The last lines; of a stack that Python wrote as it died, or was asked where it hangs, the innermost frames."""
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    stacks = [number for number, line in enumerate(lines) if "(most recent call first)" in line]
    current = next((number for number in stacks if lines[number].startswith("Current thread")), None)
    return "\n".join(lines[-count:] if current is None else lines[current : current + _FRAMES])


def _resident(pid: int) -> int:
    """Resident bytes of a process and its descendants; 0 where /proc does not tell."""
    total = 0
    try:
        total = of_process(pid).resident
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += _resident(int(child))
    except (OSError, ValueError):
        return total
    return total


def _free_memory() -> int:
    """Bytes that this process may still use: the machine's, or the cgroup's where that is less."""
    free = 2**62
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        free = min(free, limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return free

"""The server: time to its first answer, then answers a second at 1, 16, 64 and 256 connections, binary and JSON."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu import callers
from benchmarks.gpu.progress import Progress
from benchmarks.gpu.subjects import published, rows
from benchmarks.processes import resident
from onnxpress.core.arrays import Array
from onnxpress.serving.protocol.datatypes import DATATYPE_OF

_CONNECTIONS = (64, 1, 16, 256)
_SECONDS, _SMALL_SECONDS = 1.2, 0.4
_START_SECONDS = 60.0
_MODELS = ("resnet", "minilm", "tiny", "cnn14")


def _asked(device: str, model: str) -> list[tuple[str, int]]:
    """Forms and connections, the most telling first: all of them on a GPU, else a few to compare with."""
    if device == "cuda, 2 instances":
        return [("binary", 64), ("binary", 16), ("binary", 1), ("binary", 256)]
    if device != "cuda":
        return [("binary", 64), ("binary", 1), ("json", 64)]
    if model == "resnet":  # in JSON a request is a megabyte of text
        return [*(("binary", connections) for connections in _CONNECTIONS), ("json", 16)]
    return [(form, connections) for connections in _CONNECTIONS for form in ("binary", "json")]


def measure(progress: Progress, repository: Path, provider: str, *, small: bool) -> None:
    """Device → model → form → connections → figures; `first answer` and memory beside."""
    models = [name for name in _MODELS if name in published(repository)]
    plans = {
        "cuda": (provider,),
        "cuda, 2 instances": (provider, "--instances", "2"),
        "cuda graphs": (provider if provider == "cpu" else f"{provider},graphs",),
        "cpu": ("cpu",),
    }
    seconds = _SMALL_SECONDS if small else _SECONDS
    progress.attempt("code", run=_code)
    for name, options in plans.items():
        for model in models:
            if name == "cpu" and model == "resnet" and not small:
                continue  # in_process says it: the server waits for the model
            if progress.left < 8:
                progress.put("no time was left", name, model, "error")
                continue
            with progress.kept(name, model):
                _model(progress, name, model, repository / model, options, seconds)


def _model(progress: Progress, name: str, model: str, path: Path, options: tuple[str, ...], seconds: float) -> None:
    file = path / "1" / "model.onnx"
    feeds = rows(file, 1)
    folder = path.parent.parent / "questions"
    folder.mkdir(exist_ok=True)
    forms = {"binary": binary(model, feeds), "json": text(model, feeds)}
    for form, content in forms.items():
        (folder / f"{model}-{form}").write_bytes(content)
    with running(path, *options) as (port, process, ready):
        body = forms["binary"].partition(b"\r\n\r\n")
        answer = _ask(port, model, body[2], _json_length(body[0]))
        progress.put({"ready_s": ready, "first_answer_s": time.perf_counter() - process.began}, name, model, "start")
        assert answer, "an empty answer"
        for form, connections in _asked(name, model):
            if progress.left < seconds + 4:
                progress.put("no time was left", name, model, form, str(connections))
                continue
            question = folder / f"{model}-{form}"
            found = progress.attempt(
                name, model, form, str(connections),
                run=lambda c=connections, q=question: callers.load(port, c, seconds, q),
            )  # fmt: skip
            if found is not None and found["failed"]:
                progress.put(process.said(), name, model, form, f"{connections} failed")
        progress.put(memory_of(process.pid), name, model, "gpu_bytes")
        progress.put(resident(process.pid), name, model, "resident_bytes")
        progress.put(_metrics(port), name, model, "batches")


def _environment() -> dict[str, str]:
    """The server's: with the compiled one before the checkout, where there is one."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    if compiled := os.environ.get("ONNXPRESS_SERVER_PATH"):
        environment["PYTHONPATH"] = os.pathsep.join((compiled, environment.get("PYTHONPATH", "")))
    return environment


def _code() -> str:
    """Which file the server's batcher is: `.so` where it is compiled."""
    command = [sys.executable, "-c", "import onnxpress.serving.batching.batcher as found; print(found.__file__)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=_environment())
    return done.stdout.strip() or done.stderr[-300:]


class Process:
    """A running server: when it was begun, and what it says on stderr."""

    def __init__(self, command: list[str]) -> None:
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(),
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line.rstrip())

    def said(self) -> list[str]:
        return self._lines[-20:]

    def url(self) -> str:
        assert self._process.stdout is not None
        timer = threading.Timer(_START_SECONDS, self.end)
        timer.start()
        try:
            line = self._process.stdout.readline().strip()
        finally:
            timer.cancel()
        if not line:
            raise RuntimeError(f"the server did not start: {' | '.join(self.said())}")
        return line

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def running(path: Path, device: str, *options: str) -> Iterator[tuple[int, Process, float]]:
    """A server of `path` on this device: its port, its process, and the seconds until it was ready."""
    run = "import sys; from onnxpress.core.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", run, "serve", str(path), "--port", "0", "--provider", device, *options]
    process = Process(command)
    try:
        url = process.url()
        yield int(url.rpartition(":")[2]), process, time.perf_counter() - process.began
    finally:
        process.end()


def binary(model: str, feeds: dict[str, Array]) -> bytes:
    """A whole request whose numbers are bytes behind a JSON head, with an answer of the same kind."""
    tensors = [
        {"name": name, "shape": list(value.shape), "datatype": DATATYPE_OF[str(value.dtype)],
         "parameters": {"binary_data_size": value.nbytes}}
        for name, value in feeds.items()
    ]  # fmt: skip
    head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    head = head.ljust(-len(head) % 8 + len(head))
    body = head + b"".join(value.tobytes() for value in feeds.values())
    return _request(model, body, f"inference-header-content-length: {len(head)}\r\n")


def text(model: str, feeds: dict[str, Array]) -> bytes:
    """A whole request in JSON."""
    tensors = [
        {"name": name, "shape": list(value.shape), "datatype": DATATYPE_OF[str(value.dtype)],
         "data": [round(one, 6) if isinstance(one, float) else one for one in value.ravel().tolist()]}
        for name, value in feeds.items()
    ]  # fmt: skip
    return _request(model, json.dumps({"inputs": tensors}, separators=(",", ":")).encode())


def _request(model: str, body: bytes, more: str = "") -> bytes:
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nhost: load\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def _json_length(head: bytes) -> str:
    return head.decode().rpartition("content-length: ")[2].strip()


def _ask(port: int, model: str, body: bytes, json_length: str) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/models/{model}/infer", body)
    request.add_header("Inference-Header-Content-Length", json_length)
    with urllib.request.urlopen(request, timeout=60) as response:
        found: bytes = response.read()
    return found


def _metrics(port: int) -> list[str]:
    """What the server says of its batches."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    return [line for line in lines if line.startswith(("onnxpress_runs", "onnxpress_run_sec", "onnxpress_requ"))]


def memory_of(pid: int) -> dict[str, int | None]:
    """Bytes of the GPU that this process holds, and that all hold, as nvidia-smi tells; None where it does not."""
    one = [int(words[1]) << 20 for words in _smi("--query-compute-apps=pid,used_memory") if words[0] == str(pid)]
    everybody = [int(words[0]) << 20 for words in _smi("--query-gpu=memory.used")]
    return {"process": one[0] if one else None, "all": everybody[0] if everybody else None}


def _smi(query: str) -> list[list[str]]:
    """Rows of words, all of them numbers."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        found = [line.replace(" ", "").split(",") for line in done.stdout.splitlines()]
        return [words for words in found if all(word.isdigit() for word in words)]
    return []

"""A real `onnxpress serve` process for the demo, the wheel smoke test and the benchmarks: started, asked, stopped."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_START_SECONDS = 60
_STOP_SECONDS = 20


@contextlib.contextmanager
def served(command: Sequence[str], models: Path, **settings: Any) -> Iterator[str]:
    """`command serve models` on a free port; yields its URL. Stopped by its own pid; its exit code must be 0."""
    process = subprocess.Popen(
        [*command, "serve", str(models), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            _, errors = process.communicate(timeout=_START_SECONDS)
            raise SystemExit(f"the server did not start:\n{errors}")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            print("the server had to be killed", file=sys.stderr)
    if process.returncode != 0:
        raise SystemExit(f"the server left with exit code {process.returncode}")


def infer(url: str, model: str, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One V2 inference request with float32 inputs; output name → array."""
    tensors = [
        {"name": name, "shape": list(value.shape), "datatype": "FP32", "data": value.ravel().tolist()}
        for name, value in feeds.items()
    ]
    request = urllib.request.Request(
        f"{url}/v2/models/{model}/infer", json.dumps({"inputs": tensors}).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the server refused: {error.read().decode(errors='replace')}") from None
    kinds = {"FP32": np.float32, "BOOL": np.bool_}
    return {
        tensor["name"]: np.array(tensor["data"], kinds[tensor["datatype"]]).reshape(tensor["shape"])
        for tensor in answer["outputs"]
    }


def seconds_to_first_answer(command: Sequence[str], models: Path, model: str, feeds: dict[str, np.ndarray]) -> float:
    """From process start to the first answer on the wire."""
    started = time.perf_counter()
    with served(command, models) as url:
        infer(url, model, feeds)
        return time.perf_counter() - started

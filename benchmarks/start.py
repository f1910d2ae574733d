"""How long it takes to begin: importing each framework, and starting the server to its first correct answer."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.processes import against, environment, in_turn, process
from onnxpress.core import golden
from onnxpress.core.version_folder import locate_one, read_manifest

REFERENCE = "import onnxruntime"
ONNXPRESS = str(Path(sys.executable).parent / "onnxpress")


def measure(models: Path, model: str, wheel: Path, rounds: int = 10) -> dict[str, dict[str, float]]:
    """Seconds and ratios to `python -c "import onnxruntime"` in the same run; `wheel` is where one is installed.

    The model is served alone, and beside all others. Several are first loaded in another process, which a bad one may
    end.
    """
    question, check = _question(models / model)
    checkout, installed = environment(), {**environment(), "PYTHONPATH": str(wheel)}
    contenders = {
        REFERENCE: process([sys.executable, "-c", "import onnxruntime"]),
        "onnxpress serve, first correct answer": lambda: _first_answer(
            models / model, model, question, check, installed
        ),
        "the same, not compiled": lambda: _first_answer(models / model, model, question, check, checkout),
        "the same, all models": lambda: _first_answer(models, model, question, check, installed),
        "import torch": process([sys.executable, "-c", "import torch"]),
        "import tensorflow": process([sys.executable, "-c", "import tensorflow"]),
    }
    return against(in_turn(contenders, rounds), REFERENCE)


class _Check:
    """Whether an answer's float outputs are the golden ones, within the accepted noise floors."""

    def __init__(self, case: golden.Golden, limit: float) -> None:
        self._case, self._limit = case, limit

    def __call__(self, body: bytes) -> None:
        answers = {
            tensor["name"]: np.array(tensor["data"], self._case.outputs[tensor["name"]].dtype).reshape(tensor["shape"])
            for tensor in msgspec.json.decode(body)["outputs"]
        }
        worst = max(golden.worst_multiple(self._case, answers).values())
        if not worst <= self._limit:
            raise SystemExit(f"the server's first answer is wrong: {worst:.3g} noise floors")


def _question(path: Path) -> tuple[bytes, _Check]:
    _, _, file = locate_one(path)
    manifest = read_manifest(file.parent)
    assert manifest is not None, f"{path} is not a published version"
    case = golden.read(file.parent / golden.FILE_NAME)[0]
    tensors = [
        {"name": name, "shape": value.shape, "datatype": "FP32", "data": value.ravel().tolist()}
        for name, value in case.inputs.items()
    ]
    return msgspec.json.encode({"inputs": tensors}), _Check(case, manifest.equivalence.limit)


def _first_answer(models: Path, model: str, question: bytes, check: _Check, where: Mapping[str, str]) -> float:
    """Seconds until the answer is here; `where` is the environment, which says which onnxpress is run."""
    started = time.perf_counter()
    server = subprocess.Popen(
        [ONNXPRESS, "serve", str(models), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=where,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}/v2/models/{model}/infer", question, timeout=30) as response:
            body = response.read()
        taken = time.perf_counter() - started
    finally:
        server.terminate()
        server.wait(timeout=30)
    check(body)
    return taken

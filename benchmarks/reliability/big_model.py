"""A model of 480 MiB of weights in external data: how soon it answers, how quick it is then and after the swap."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import TensorProto, helper, save
from onnx.numpy_helper import from_array
from tests.serving.onnx_models import publish_folder

from benchmarks.processes import process
from benchmarks.reliability.serving import Serving, serving
from onnxpress.core import golden

_WIDTH, _LAYERS, _ROWS = 2048, 30, 32
_TARGET = "/v2/models/big/infer"


def measure(rounds: int = 5) -> dict[str, Any]:
    """Seconds from the start of the process to the first correct answer, of which the self-test; then the speed."""
    with tempfile.TemporaryDirectory() as folder:
        x, y = publish(Path(folder))
        body = _request(x)
        first, tests, complete, before, after = [], [], [], [], []
        imported = process([sys.executable, "-c", "import onnxruntime"])
        imports = [imported() for _ in range(rounds)]
        for _ in range(rounds):
            started = time.monotonic()
            with serving(folder) as server:
                answer = _ask(server, body)
                first.append(time.monotonic() - started)
                if not np.allclose(answer, y, rtol=1e-3, atol=1e-4):
                    raise SystemExit("the first answer is wrong")
                tests.append(_metric(server, "onnxpress_self_test_seconds"))
                ready = time.monotonic()
                complete.append(server.when_said("version 1 is complete", started) - ready)
                after.append(_speed(server))
            with serving(folder, "--no-prepack") as server:
                before.append(_speed(server))
        private = {"prepacked": _private(folder), "as mapped": _private(folder, "--no-prepack")}
    return {
        "weights_mib": _WIDTH * _WIDTH * 4 * _LAYERS / 2**20,
        "import_onnxruntime_s": statistics.median(imports),
        "first_answer_s": statistics.median(first),
        "of_which_self_test_s": statistics.median(tests),
        "first_answer_without_self_test_s": statistics.median(a - b for a, b in zip(first, tests, strict=True)),
        "first_answer_without_self_test_min_s": min(a - b for a, b in zip(first, tests, strict=True)),
        "complete_after_first_answer_s": statistics.median(complete),
        f"batch_of_{_ROWS}_as_mapped_s": statistics.median(before),
        f"batch_of_{_ROWS}_after_the_swap_s": statistics.median(after),
        "private_mb_of_two_workers": private,
    }


def _private(folder: str, *options: str) -> float:
    """Memory of two workers that is in no file, once both are complete, in MB."""
    started = time.monotonic()
    with serving(folder, "--workers", "2", *options) as server:
        deadline = time.monotonic() + 60
        while sum("is complete" in line for at, line in server.said if at >= started) < 2:
            if time.monotonic() > deadline:
                raise SystemExit(f"the workers did not complete:\n{server.tail()}")
            time.sleep(0.05)
        return private_mb(server)


def private_mb(server: Serving) -> float:
    """Memory of a server that is in no file, in MB, by its own account."""
    return _metric(server, 'onnxpress_memory_bytes{kind="private"}') / 1e6


def publish(repository: Path, layers: int = _LAYERS) -> tuple[np.ndarray, np.ndarray]:
    """The model of so many layers with one golden sample, which is returned."""
    draw = np.random.default_rng(0)
    weights = [(draw.standard_normal((_WIDTH, _WIDTH)) * (2 / _WIDTH) ** 0.5).astype(np.float32) for _ in range(layers)]
    x = draw.standard_normal((1, _WIDTH)).astype(np.float32)
    y, truth = x, x.astype(np.float64)
    for weight in weights:
        y, truth = np.maximum(y @ weight, 0), np.maximum(truth @ weight, 0)
    nodes = []
    for number in range(layers):
        nodes.append(helper.make_node("MatMul", [f"h{number}", f"w{number}"], [f"m{number}"]))
        nodes.append(helper.make_node("Relu", [f"m{number}"], [f"h{number + 1}"]))
    sizes = ["batch", _WIDTH]
    graph = helper.make_graph(
        nodes,
        "big",
        [helper.make_tensor_value_info("h0", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(f"h{layers}", TensorProto.FLOAT, sizes)],
        [from_array(weight, f"w{number}") for number, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)

    def write(folder: Path) -> None:
        save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")
        floor = np.full(y.shape, max(float(np.abs(y - truth).max()), 1e-7))
        golden.write(folder / golden.FILE_NAME, [golden.Golden({"h0": x}, {f"h{layers}": y}, {f"h{layers}": floor})])

    publish_folder(repository, "big", write, [f"h0:float32[batch,{_WIDTH}]"], [f"h{layers}:float32[batch,{_WIDTH}]"])
    return x, y


def _request(x: np.ndarray) -> bytes:
    tensor = {"name": "h0", "shape": x.shape, "datatype": "FP32", "data": x.ravel().tolist()}
    return msgspec.json.encode({"inputs": [tensor]})


def _ask(server: Serving, body: bytes) -> np.ndarray:
    tensor = msgspec.json.decode(server.post(_TARGET, body))["outputs"][0]
    return np.array(tensor["data"], np.float32).reshape(tensor["shape"])


def _metric(server: Serving, name: str) -> float:
    lines = server.get("/metrics").decode().splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def _speed(server: Serving) -> float:
    """Seconds of a run over a batch, by the server's own account, median of several."""
    body = _request(np.ones((_ROWS, _WIDTH), np.float32))
    found = []
    for _ in range(7):
        spent = _metric(server, "onnxpress_run_seconds_total")
        _ask(server, body)
        found.append(_metric(server, "onnxpress_run_seconds_total") - spent)
    return statistics.median(found)

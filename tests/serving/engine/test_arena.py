"""Memory after a large request: given back, in this process and in a model's own; usual large runs keep theirs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.serving.harness import WAIT, ask, started
from tests.serving.onnx_models import model, node, plain

from onnxpress.core import memory
from onnxpress.serving.engine.arena import LARGE, ArenaShrinkage

MIB = 1 << 20


class Options:
    def __init__(self) -> None:
        self.told = False

    def add_run_config_entry(self, key: str, value: str) -> None:
        assert (key, value) == ("memory.enable_memory_arena_shrinkage", "cpu:0")
        self.told = True


def told(arena: ArenaShrinkage, size: int) -> bool:
    options = Options()
    arena.hand_back({"x": np.empty(size, np.uint8)}, options)
    return options.told


def test_large_runs_hand_back_unless_they_are_usual() -> None:
    arena = ArenaShrinkage()
    assert not told(arena, 1000)
    assert told(arena, LARGE)
    assert told(arena, 100 * LARGE)
    assert not told(arena, 1000)
    usual = ArenaShrinkage()
    several = [told(usual, LARGE) for _ in range(100)]
    assert several[0]
    assert not any(several[20:])
    assert told(usual, 1000)
    assert not told(usual, 1000)


def layers() -> bytes:
    """float32 (b, 64) → (b,): what lies between takes many times as much as the input."""
    weights = np.full((64, 64), 0.01, np.float32)
    nodes = [node("MatMul", ["x", "w"], ["h0"])]
    for step in range(6):
        nodes += [node("Relu", [f"h{step}"], [f"r{step}"]), node("MatMul", [f"r{step}", "w"], [f"h{step + 1}"])]
    nodes += [node("ReduceMean", ["h6", "axes"], ["y"], keepdims=0)]
    constants = {"w": weights, "axes": np.array([1], np.int64)}
    return model(nodes, ["x:float32[b,64]"], ["y:float32[b]"], constants)


def children(process: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True)
    return sorted(map(int, listed.stdout.split()))


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("options", [[], ["--isolate"]], ids=["shared", "isolated"])
def test_the_memory_of_a_large_request_is_given_back(options: list[str], tmp_path: Path) -> None:
    plain(tmp_path, "layers", layers())

    def post(rows: int) -> None:
        text = b'{"inputs":[{"name":"x","shape":[%d,64],"datatype":"FP32","parameters":{"binary_data_size":%d}}]}' % (
            rows,
            rows * 256,
        )
        headers = [f"inference-header-content-length: {len(text)}"]
        body = text + np.ones((rows, 64), np.float32).tobytes()
        assert ask(server.port, "POST", "/v2/models/layers/infer", body, headers).status == 200

    # A process of its own: what this one's other tests and the client take is not counted.
    with started(tmp_path, *options) as server:
        of = children(server.popen.pid)[-1] if options else server.popen.pid
        for rows in (1, 20_000):
            post(rows)
        before = memory.of_process(of).resident
        for _ in range(3):
            post(200_000)  # 51 MB
        deadline = time.monotonic() + WAIT
        while memory.of_process(of).resident - before >= 64 * MIB:  # the answer leaves before the memory does
            assert time.monotonic() < deadline, "it was not given back"
            time.sleep(0.05)

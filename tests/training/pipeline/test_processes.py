"""Two processes fit together to what one fits alone: torchrun joins those of PyTorch, TF_CONFIG those of TensorFlow."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import UsageError
from onnxpress.training import recipe as recipes
from onnxpress.training.pipeline import port, stage

PROGRAM = "from onnxpress.core.cli import main\nmain()\n"
BOUND = 200
G = np.random.default_rng(0)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Batch norm, class weights, clipped gradients, a batch that two cannot halve, and two folds; no dropout."""
    lines = ["@data"]
    for number in range(70):
        wave = np.sin(np.arange(40) * (0.2 if number % 3 else 0.5) + G.random()) + 0.1 * G.normal(size=40)
        lines.append(",".join(f"{value:.4f}" for value in wave) + (":slow" if number % 3 else ":quick"))
    (tmp_path / "waves.ts").write_text("\n".join(lines))
    document = {
        "name": "together",
        "model": {
            "family": "cnn14", "filters": [6, 8], "kernel": 3, "stride_every": 0, "dense": [8], "dropout": 0.0,
        },
        "data": {"source": "time_series", "path": "waves.ts"},
        "training": {
            "epochs": 3, "batch_size": 15, "learning_rate": 0.01, "clip_norm": 0.5, "class_weights": "balanced",
            "folds": 2, "checkpoint_seconds": 0,
        },
    }  # fmt: skip
    (tmp_path / "recipe.json").write_text(json.dumps(document))
    return tmp_path / "recipe.json"


def started(arguments: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment, cwd=folder,
    )  # fmt: skip


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [bound.getsockname()[1] for bound in sockets]


@contextlib.contextmanager
def together(framework: str, arguments: list[str], folder: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes that were started, by hand or by torchrun; none outlives the block."""
    (folder / "program.py").write_text(PROGRAM)
    if framework == "pytorch":
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "program.py"]
        environments = [{"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}]
    else:
        launch = ["program.py"]
        cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
        environments = [
            {
                "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
                "CUDA_VISIBLE_DEVICES": "",
            }
            for index in range(2)
        ]
    found = [started([*launch, *arguments], env, folder) for env in environments]
    try:
        yield found
    finally:
        for process in found:
            if process.poll() is None:
                process.terminate()  # torchrun ends its children
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(60)
                process.kill()
                process.wait(60)


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit status, stdout and stderr of each."""
    deadline = time.monotonic() + BOUND
    return [
        (process.returncode, *output)
        for process in processes
        for output in [process.communicate(timeout=max(1.0, deadline - time.monotonic()))]
    ]


def run_of(folder: Path, framework: str) -> tuple[dict[str, Any], dict[str, Any], port.Layers]:
    """Its losses, the metrics of its folds, and its weights but for those that batch norm takes away again.

    A bias before a batch norm changes nothing in training, so its gradient is rounding noise, of which Adam makes steps
    of full size; the norm's running mean follows it. These differ between any two machines too.
    """
    run = folder / f"together-{framework}"
    history, folds = (json.loads((run / f"{name}.json").read_text()) for name in ("history", "folds"))
    layers = port.read_layers(run)
    kept = {
        name: {
            role: array
            for role, array in roles.items()
            if "mean" not in role and not (role == "bias" and name != "logits" and "norm" not in name)
        }
        for name, roles in layers.items()
    }
    return history, folds, kept


def test_two_processes_fit_as_one_does(framework: str, recipe: Path, tmp_path: Path) -> None:
    """The gradients and batch statistics of half a batch each are those of the whole."""
    arguments = ["train", str(recipe), "--framework", framework, "--output"]
    with together(framework, [*arguments, "two"], tmp_path) as processes:
        results = ended(processes)
    assert [code for code, *_ in results] == [0] * len(results), results
    printed = "".join(output for _, output, _ in results)
    assert printed.split() == [f"two/together-{framework}"], "one writes and says so"
    assert [path.name for path in (tmp_path / "two").iterdir()] == [f"together-{framework}"]
    stage.train(recipes.load(recipe, framework=framework), output=tmp_path / "one")
    one, two = (run_of(tmp_path / name, framework) for name in ("one", "two"))
    np.testing.assert_allclose(two[0]["training_loss"], one[0]["training_loss"], rtol=1e-4)
    np.testing.assert_allclose(two[0]["validation_loss"], one[0]["validation_loss"], rtol=1e-2)
    assert len(two[1]) == len(one[1]) == 2, "folds too are fitted together"
    compared = 0
    for name, roles in one[2].items():
        for role, array in roles.items():
            np.testing.assert_allclose(two[2][name][role], array, rtol=1e-3, atol=1e-4, err_msg=f"{name} {role}")
            compared += 1
    assert compared >= 10


@pytest.mark.tensorflow
def test_a_fit_that_lost_a_process_ends_with_an_error_and_is_gone_on_with(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    begun = [
        "train",
        str(recipe),
        "--framework",
        "tensorflow",
        "--set",
        "training.epochs=400",
        "--set",
        "training.patience=400",
    ]
    with together("tensorflow", [*begun, "--output", "runs"], tmp_path) as processes:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "runs").glob(".*/checkpoint*.npz")):
            assert time.monotonic() < deadline, "no checkpoint"
            assert processes[0].poll() is None, processes[0].communicate()
            time.sleep(0.05)
        processes[1].send_signal(signal.SIGKILL)
        lost = time.monotonic()
        first, _ = ended(processes)
        assert time.monotonic() - lost < 60
    assert first[0] == 1, first
    assert "another of the 2 processes is gone" in first[2]
    assert "go on with: onnxpress train --resume" in first[2]
    (draft,) = (tmp_path / "runs").iterdir()
    document = json.loads((draft / "recipe.json").read_text())
    document["training"] |= {"epochs": 60, "patience": 60, "folds": None}
    (draft / "recipe.json").write_text(json.dumps(document))
    with together("tensorflow", ["train", "--resume", str(draft)], tmp_path) as processes:
        results = ended(processes)
    assert [code for code, *_ in results] == [0, 0], results
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["together-tensorflow"]


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "truncated"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["a:2"]}}', "no use for tasks of type 'ps'"),
        ('{"cluster": {"worker": ["a:1", "a:2"]}, "task": {"type": "worker", "index": 2}}', "none of the cluster's"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(
    config: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow")
    from onnxpress.training.tensorflow import processes

    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UsageError, match=message):
        processes.place.__wrapped__()


@pytest.mark.tensorflow
def test_the_chief_is_the_first_of_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    from onnxpress.training.tensorflow import processes

    cluster = {"chief": ["a:1"], "worker": ["a:2", "a:3"]}
    found = []
    for kind, index in (("chief", 0), ("worker", 0), ("worker", 1)):
        config = {"cluster": cluster, "task": {"type": kind, "index": index}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        found.append(processes.place.__wrapped__())
    assert found == [processes.Place(number, 3) for number in range(3)]

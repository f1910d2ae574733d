"""A training run that is killed is gone on with, to the result that it would have had."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from onnxpress.core.cli import main
from onnxpress.core.errors import UsageError
from onnxpress.training.pipeline import port, stage
from onnxpress.training.pipeline.run_folder import refuse_if_written

COMMAND = [sys.executable, "-c", "from onnxpress.core.cli import main; main()", "train"]
SETTINGS = [
    "--set", "training.epochs=60", "--set", "training.patience=60", "--set", "training.checkpoint_seconds=0",
    "--set", "data.table=wine", "--set", "model.normal=class_0",
]  # fmt: skip


def test_a_killed_run_goes_on_to_the_same_result(
    framework: str, anomaly_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [str(anomaly_recipe), "--framework", framework, *SETTINGS]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([*COMMAND, *chosen, "--output", str(killed)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(killed.glob(".*/checkpoint.npz")):
        assert time.monotonic() < deadline, "no checkpoint"
        assert process.poll() is None, "ended before its first checkpoint"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert [path for path in killed.iterdir() if not path.name.startswith(".")] == [], "nothing that looks finished"
    for output, arguments in ((killed, ["--resume", str(killed / f"anomaly-{framework}")]), (whole, chosen)):
        with pytest.raises(SystemExit) as ended:
            main(["train", *arguments, "--output", str(output)])
        assert ended.value.code == 0
        assert capsys.readouterr().out.strip() == str(output / f"anomaly-{framework}")
    assert [path.name for path in killed.iterdir()] == [f"anomaly-{framework}"], "the unfinished folder became the run"
    assert not (killed / f"anomaly-{framework}" / "checkpoint.npz").exists()
    layers = [port.read_layers(output / f"anomaly-{framework}") for output in (killed, whole)]
    for name, roles in layers[0].items():
        for role, array in roles.items():
            np.testing.assert_allclose(array, layers[1][name][role], rtol=1e-4, atol=1e-6)
    histories = [json.loads((o / f"anomaly-{framework}" / "history.json").read_text()) for o in (killed, whole)]
    np.testing.assert_allclose(histories[0]["training_loss"], histories[1]["training_loss"], rtol=1e-4)


def test_there_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no unfinished run"):
        stage.go_on(tmp_path / "none", output=tmp_path)


def test_a_run_that_still_lives_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / ".run.1-abc"
    folder.mkdir()
    (folder / "checkpoint.npz").write_bytes(b"")
    (folder / "owner.pid").write_text(str(os.getppid()))
    with pytest.raises(UsageError, match="still being written"):
        refuse_if_written(folder)

"""`run.json` reads back as written; an unfinished or wrong run says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxpress.core import run
from onnxpress.core.errors import BadData
from onnxpress.core.processing import MeanSquaredError, Processing, Scale, Threshold
from onnxpress.core.tensors import parse_spec

RUN = run.Run(
    name="anomaly",
    framework="pytorch",
    model="onnxpress.training.pytorch.models.autoencoder:build",
    settings={"width": 2, "dropout": 0.2},
    weights="weights.safetensors",
    samples="held_out.npz",
    network_inputs=[parse_spec("scaled:float32[batch,2]")],
    network_outputs=[parse_spec("reconstruction:float32[batch,2]")],
    inputs=[parse_spec("features:float32[batch,2]")],
    outputs=[parse_spec("score:float32[batch]"), parse_spec("is_anomaly:bool[batch]")],
    processing=Processing(
        before=[Scale(input="features", output="scaled", offset=[0.0, 1.0], factor=[1.0, 0.5])],
        after=[
            MeanSquaredError(input="reconstruction", target="scaled", output="score"),
            Threshold(input="score", output="is_anomaly", value=0.25),
        ],
    ),
    thresholds={"is_anomaly": 0.25},
    parameters=17,
    seed=0,
)


def test_a_run_reads_back_as_written(tmp_path: Path) -> None:
    run.write(tmp_path, RUN)
    assert run.read(tmp_path) == RUN


def test_a_folder_without_run_json_is_an_unfinished_run(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"not a finished run\n.*train it again"):
        run.read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"pytorch"', '"jax"', r"\$\.framework"),
        ('"threshold"', '"treshold"', r"\$\.processing\.after"),
        ('"factor"', '"factors"', "factor"),
        ("0.25", "null", r"\$\.processing\.after\[1\]\.value"),
        ("}", "", "cannot be read"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    run.write(tmp_path, RUN)
    path = tmp_path / run.FILE_NAME
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BadData, match=said):
        run.read(tmp_path)

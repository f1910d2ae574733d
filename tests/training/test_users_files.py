"""Files in their users' own forms are trained on from a recipe, and the run says what was read and left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.training import recipe as recipes
from onnxpress.training.pipeline import stage


def trained(folder: Path, recipe: dict[str, Any], framework: str) -> Path:
    path = folder / "recipe.json"
    path.write_text(json.dumps(recipe))
    run = stage.train(recipes.load(path, framework=framework), output=folder / "runs")
    assert run is not None
    return run


def datapoint(generator: np.random.Generator, *, seizure: bool) -> dict[str, Any]:
    wave = 400 * np.sin(np.arange(125) * 5 * 2 * np.pi / 25) if seizure else 10 * generator.standard_normal(125)
    return {"rawData": [*np.round(1000 + wave, 1).tolist(), *[0] * 50], "hr": 80}


def test_events_of_the_open_seizure_database(tmp_path: Path, framework: str) -> None:
    pytest.importorskip("ijson")
    generator = np.random.default_rng(0)
    kinds = ["Seizure", "Aura", "False Alarm", "Fall"]
    for number, kind in enumerate(kinds):
        events = [
            {
                "id": 10 * number + n,
                "userId": n,
                "type": kind,
                "dataTime": f"2024-01-{n + 1:02d}T00:00:00Z",
                "datapoints": [datapoint(generator, seizure=number < 2) for _ in range(3)] + ([{}] if n == 0 else []),
            }
            for n in range(6)
        ]
        (tmp_path / f"osdb_{number}.json").write_text(json.dumps(events))
    data = {
        "source": "events",
        "path": "osdb_*.json",
        "datapoints": 2,
        "positive": ["Seizure", "Aura"],
        "skip": "bad datapoints",
        "only": {"since": "2024-01-01"},
        "group": "userId",  # every person has events of all kinds
    }
    model = {"family": "cnn14", "unit": "mg", "filters": [4, 4], "dense": [4], "stride_every": 1, "positive": "Seizure"}
    run = trained(tmp_path, {"name": "osdb", "model": model, "data": data, "training": {"epochs": 2}}, framework)
    read = json.loads((run / "data.json").read_text())
    assert (read["events"], read["datapoints_skipped"], read["channels"]) == (24, 4, 1)
    assert read["labels"] == {"Seizure": 24, "other": 24}
    with np.load(run / "samples.npz") as samples:
        assert samples["windows"].shape[1:] == (250, 1)
        assert set(samples["target"].tolist()) == {0, 1}
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["held_out_rows"] == 2 * metrics["held_out_events"] > 8, "judged by event, divided by person"


def test_domains_of_two_files_sampled_and_oversampled(tmp_path: Path, framework: str) -> None:
    pytest.importorskip("ijson")
    (tmp_path / "benign.json").write_text(json.dumps({"data": [{"d": {"name": f"good{n}.com"}} for n in range(40)]}))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.json").write_text(json.dumps({"data": [{"d": {"name": f"x{n}q.biz"}} for n in range(12)]}))
    model = {
        "family": "cnn-lstm-attention",
        "text": "d.name",
        "length": 12,
        "embedding": 4,
        "convolutions": [4],
        "lstm": 4,
        "attention": 0,
        "dense": [4],
        "dense_dropouts": [0.0],
    }
    data = {
        "source": "json",
        "records": "data",
        "files": {"benign": "benign.json", "phishing": "bad/"},
        "sample": {"per_class": 30, "balance": "over"},
    }
    recipe = {"name": "domains", "model": model, "data": data, "training": {"epochs": 1}}
    run = trained(tmp_path, recipe, framework)
    read = json.loads((run / "data.json").read_text())
    assert read["rows_met"] == {"benign": 40, "phishing": 12}
    assert read["labels"] == {"benign": 30, "phishing": 12}
    metrics = json.loads((run / "metrics.json").read_text())
    # 12 rare rows: 9 are seen, of these 7 to train on, which come as often as the 19 of the other class
    assert metrics["train_rows"] == 2 * (metrics["train_rows"] // 2) > 30

"""Both fit loops keep the same promises: seeded, early stopping, the best epoch's weights, figures that are true."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.dotted import load
from onnxpress.training.fitting import Examples, Fit, FrameworkFit, History, Training

GENERATOR = np.random.default_rng(0)
X = GENERATOR.random((48, 6), np.float32)
SETTINGS: dict[str, Any] = {"width": 6, "hidden": [4, 3, 4], "dropout": 0.2}


def half(framework: str) -> FrameworkFit:
    found: FrameworkFit = importlib.import_module(f"onnxpress.training.{framework}.fit")
    return found


def fitted(
    framework: str, training: Training, validation: Examples | None = None, **settings: Any
) -> tuple[Any, History, list[tuple[float, float]]]:
    seen: list[tuple[float, float]] = []
    half(framework).seed(training.seed)
    network = load(f"onnxpress.training.{framework}.models.autoencoder:build")(**SETTINGS | settings)
    job = Fit(
        train=Examples(X[:32], X[:32]),
        validation=validation or Examples(X[32:], X[32:]),
        training=training,
        on_epoch=lambda loss, validation_loss: seen.append((loss, validation_loss)),
    )
    return network, half(framework).fit(network, job), seen


def test_the_best_epoch_is_the_first_of_the_lowest_and_never_nan() -> None:
    assert History([1, 1, 1, 1], [3.0, 2.0, 2.0, math.nan]).best_epoch == 2
    assert History([1, 1], [math.nan, 5.0]).best_epoch == 2
    assert History([1, 1], [math.nan, math.inf]).diverged
    assert not History([1, 1], [math.nan, 5.0]).diverged


def test_it_learns_and_tells_every_epoch(framework: str) -> None:
    _, history, seen = fitted(framework, Training(epochs=12, batch_size=5, learning_rate=0.02), dropout=0.0)
    assert seen == list(zip(history.training_loss, history.validation_loss, strict=True))
    assert len(seen) == 12
    assert history.training_loss[-1] < history.training_loss[0]


def test_it_stops_after_patience_and_keeps_the_best_epoch(framework: str) -> None:
    # Validation wants the opposite of training, so that learning must make it worse before long.
    against = Examples(X[32:], 1 - X[32:])
    training = Training(epochs=200, batch_size=8, learning_rate=0.02, patience=3)
    network, history, _ = fitted(framework, training, against)
    assert len(history.validation_loss) == history.best_epoch + 3 < 200
    rebuilt = half(framework).predict(network, against.x)
    assert (rebuilt.dtype, rebuilt.shape) == (np.float32, against.x.shape)
    assert ((rebuilt - against.y) ** 2).mean() == pytest.approx(min(history.validation_loss), rel=1e-5)


def test_the_same_seed_gives_the_same_network(framework: str) -> None:
    predictions = []
    for seed in (1, 1, 2):
        network, *_ = fitted(framework, Training(epochs=3, batch_size=8, seed=seed))
        predictions.append(half(framework).predict(network, X).tobytes())
    assert predictions[0] == predictions[1] != predictions[2]


def test_inference_has_no_dropout_and_a_row_does_not_depend_on_its_batch(framework: str) -> None:
    network, *_ = fitted(framework, Training(epochs=1), dropout=0.9)
    predict = half(framework).predict
    together = predict(network, X)
    assert predict(network, X).tobytes() == together.tobytes()
    assert predict(network, X[5:6]) == pytest.approx(together[5:6], rel=1e-5)
    many = np.tile(X, (100, 1))
    assert predict(network, many) == pytest.approx(np.tile(together, (100, 1)), rel=1e-5)


def test_divergence_is_seen_and_not_raised(framework: str) -> None:
    nowhere = Examples(X[32:], np.full_like(X[32:], np.nan))
    _, history, _ = fitted(framework, Training(epochs=5, patience=2), nowhere)
    assert history.diverged


def test_weights_go_to_disk_and_back(framework: str, tmp_path: Path) -> None:
    network, *_ = fitted(framework, Training(epochs=2))
    path = tmp_path / half(framework).WEIGHTS
    half(framework).save(network, path)
    assert path.stat().st_mode & 0o044 == 0o044, "readable by more than its owner, like every other file of a run"
    fresh = load(f"onnxpress.training.{framework}.models.autoencoder:build")(**SETTINGS)
    if framework == "pytorch":
        from safetensors.torch import load_file

        fresh.load_state_dict(load_file(path))
    else:
        fresh.load_weights(path)
    assert half(framework).predict(fresh, X).tobytes() == half(framework).predict(network, X).tobytes()

"""Both fit loops keep the same promises: seeded, early stopping, the best epoch's weights, figures that are true."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from onnxpress.core.arrays import Array
from onnxpress.core.dotted import load
from onnxpress.training.fitting import checkpoint, loop, losses
from onnxpress.training.fitting.checkpoint import Arrays, Checkpoint, Checkpoints
from onnxpress.training.fitting.framework_fit import FrameworkFit
from onnxpress.training.fitting.loop import Examples, Fit, History
from onnxpress.training.fitting.losses import Loss
from onnxpress.training.settings import Plateau, Training

GENERATOR = np.random.default_rng(0)
X = GENERATOR.random((48, 6), np.float32)
SETTINGS: dict[str, Any] = {"width": 6, "hidden": [4, 3, 4], "dropout": 0.2}


def rows(x: Array, y: Array | None = None) -> Examples:
    return Examples({"scaled": x}, x if y is None else y)


def half(framework: str) -> FrameworkFit:
    found: FrameworkFit = importlib.import_module(f"onnxpress.training.{framework}.fit")
    return found


def fitted(
    framework: str,
    training: Training,
    validation: Examples | None = None,
    checkpoints: Checkpoints | None = None,
    **settings: Any,
) -> tuple[Any, History, list[tuple[float, float]]]:
    seen: list[tuple[float, float]] = []
    build = load(f"onnxpress.training.{framework}.models.autoencoder:build")
    half(framework).seed(training)
    network = half(framework).build(build, SETTINGS | settings, training)
    job = Fit(
        train=rows(X[:32]),
        validation=validation or rows(X[32:]),
        training=training,
        on_epoch=lambda loss, figures: seen.append((loss, figures["loss"])),
    )
    history = loop.run(half(framework).learner(network, job), job, checkpoints)
    return half(framework).finished(network, build, SETTINGS | settings), history, seen


class Scripted:
    """A learner whose validation outputs are written beforehand: the loss of epoch n is `losses[n]`."""

    def __init__(self, losses: list[float]) -> None:
        self._losses, self._epoch = losses, -1

    def learn(self, rows: Sequence[Array], rates: Sequence[float], *, epoch: int) -> float:
        assert len(rows) == len(rates)
        self._epoch = epoch
        return 1.0

    def validate(self) -> Array:
        with np.errstate(invalid="ignore"):
            return np.full((4, 1), np.sqrt(self._losses[self._epoch]))

    def state(self) -> Arrays:
        return {}

    def restore(self, state: Arrays) -> None:
        assert not state

    def weights(self) -> Arrays:
        return {"epoch": np.array(self._epoch)}

    def restore_weights(self, weights: Arrays) -> None:
        self.kept = int(weights["epoch"])


def ran(losses: list[float], **settings: Any) -> History:
    learner = Scripted(losses)
    zeros = Examples({"x": np.zeros((4, 1), np.float32)}, np.zeros((4, 1), np.float32))
    training = Training(epochs=len(losses), **settings)
    job = Fit(train=zeros, validation=zeros, training=training, on_epoch=lambda *_: None)
    history = loop.run(learner, job)
    assert history.diverged or learner.kept + 1 == history.best_epoch
    return history


def test_a_plateau_lowers_the_rate_and_never_below_the_minimum() -> None:
    plateau = Plateau(patience=2, factor=0.1, minimum=5e-4)
    found = ran([1.0, 2.0, 2.0, 2.0, 2.0, 0.5, 2.0, 2.0, 2.0], learning_rate=0.01, plateau=plateau)
    assert found.learning_rate == pytest.approx([0.01, 0.01, 0.01, 1e-3, 1e-3, 5e-4, 5e-4, 5e-4, 5e-4])


def test_a_killed_fit_goes_on_to_the_same_result(framework: str, tmp_path: Path) -> None:
    training = Training(epochs=6, batch_size=8, learning_rate=0.02, optimizer="adamw", weight_decay=0.01, warm_up=2)

    class Killed(Exception):
        pass

    class DiesAfterThree(Checkpoints):
        def write(self, checkpoint: Checkpoint) -> None:
            super().write(checkpoint)
            self.count = getattr(self, "count", 0) + 1
            if self.count == 3:
                raise Killed

    with pytest.raises(Killed):
        fitted(framework, training, checkpoints=DiesAfterThree(tmp_path, seconds=0))
    network, history, seen = fitted(framework, training, checkpoints=Checkpoints(tmp_path, seconds=0))
    assert len(seen) == 3, "three epochs were not done again"
    whole, expected, _ = fitted(framework, training)
    assert history == expected
    x = {"scaled": X}
    np.testing.assert_allclose(
        half(framework).predict(network, x), half(framework).predict(whole, x), rtol=1e-5, atol=1e-6
    )


def test_frozen_layers_stay_as_they_were(framework: str) -> None:
    training = Training(epochs=2, batch_size=8, learning_rate=0.05)
    build = load(f"onnxpress.training.{framework}.models.autoencoder:build")
    half(framework).seed(training)
    network = build(**SETTINGS)
    weights = importlib.import_module(f"onnxpress.training.{framework}.weights")
    before = {n: {r: a.copy() for r, a in roles.items()} for n, roles in weights.read(network).items()}
    job = Fit(train=rows(X), validation=rows(X), training=training, only=("rebuilt",), on_epoch=lambda *_: None)
    loop.run(half(framework).learner(network, job), job)
    for name, roles in weights.read(network).items():
        for role, array in roles.items():
            assert np.array_equal(array, before[name][role]) == (name != "rebuilt"), (name, role)


@pytest.mark.slow  # the compiler takes half a minute; its dropout draws others
def test_compiled_steps_learn_the_same(framework: str, tmp_path: Path) -> None:
    training = Training(epochs=3, batch_size=20, learning_rate=0.02, compile=True)
    network, history, _ = fitted(framework, training, checkpoints=Checkpoints(tmp_path, seconds=0), dropout=0.0)
    plain, expected, _ = fitted(framework, msgspec.structs.replace(training, compile=False), dropout=0.0)
    np.testing.assert_allclose(history.training_loss, expected.training_loss, rtol=1e-3)
    x = {"scaled": X}
    np.testing.assert_allclose(
        half(framework).predict(network, x), half(framework).predict(plain, x), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_and_leaves_a_float32_network(framework: str, precision: str) -> None:
    training = Training(epochs=8, batch_size=8, learning_rate=0.02, precision=precision)
    network, history, _ = fitted(framework, training, dropout=0.0)
    assert history.training_loss[-1] < history.training_loss[0]
    ml_dtypes = pytest.importorskip("ml_dtypes")  # comes with either framework
    found = half(framework).predict(network, {"scaled": X})
    coarse = found.astype(ml_dtypes.bfloat16 if precision == "bfloat16" else np.float16).astype(np.float32)
    assert (found != coarse).any(), "the answers have float32's digits"


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_both_frameworks_and_numpy_mean_the_same_loss(framework: str, loss: Loss) -> None:
    """One step at a rate of nearly nothing: the loss that it reports is the numpy form's, rows' weights included."""
    build = load(f"onnxpress.training.{framework}.models.autoencoder:build")
    training = Training(epochs=1, batch_size=64, learning_rate=1e-12)
    generator = np.random.default_rng(3)
    y = {
        "cross_entropy": generator.integers(0, 6, 48),
        "binary_cross_entropy": generator.integers(0, 2, (48, 6)).astype(np.float32),
        "mean_squared_error": generator.random((48, 6), np.float32),
    }[loss]
    weight = generator.random(48, np.float32)
    job_rows = Examples({"scaled": X}, y, weight)
    job = Fit(train=job_rows, validation=job_rows, training=training, loss=loss, on_epoch=lambda *_: None)
    half(framework).seed(training)
    network = build(**SETTINGS | {"dropout": 0.0})
    outputs = half(framework).predict(network, {"scaled": X})
    found = half(framework).learner(network, job).learn([np.arange(48)], [1e-12], epoch=0)
    rows_loss = np.array([losses.mean(loss, outputs[i : i + 1], y[i : i + 1]) for i in range(48)])
    assert found == pytest.approx((rows_loss * weight).mean(), rel=1e-5)


def test_the_best_epoch_is_the_first_of_the_lowest_and_never_nan() -> None:
    assert ran([3.0, 2.0, 2.0, math.nan]).best_epoch == 2
    assert ran([math.nan, 5.0]).best_epoch == 2
    assert ran([math.nan, math.inf]).diverged
    assert ran([math.nan, math.inf]).validation_loss == [None, None]
    assert not ran([math.nan, 5.0]).diverged


def test_it_learns_and_tells_every_epoch(framework: str) -> None:
    _, history, seen = fitted(framework, Training(epochs=12, batch_size=5, learning_rate=0.02), dropout=0.0)
    assert seen == list(zip(history.training_loss, history.validation_loss, strict=True))
    assert len(seen) == 12
    assert history.training_loss[-1] < history.training_loss[0]


def test_it_stops_after_patience_and_keeps_the_best_epoch(framework: str) -> None:
    # Validation wants the opposite of training, so that learning must make it worse before long.
    against = rows(X[32:], 1 - X[32:])
    training = Training(epochs=200, batch_size=8, learning_rate=0.02, patience=3)
    network, history, _ = fitted(framework, training, against)
    assert len(history.validation_loss) == history.best_epoch + 3 < 200
    rebuilt = half(framework).predict(network, against.x)
    assert (rebuilt.dtype, rebuilt.shape) == (np.float32, against.y.shape)
    assert ((rebuilt - against.y) ** 2).mean() == pytest.approx(min(history.validation_loss), rel=1e-5)


def test_the_same_seed_gives_the_same_network(framework: str) -> None:
    predictions = []
    for seed in (1, 1, 2):
        network, *_ = fitted(framework, Training(epochs=3, batch_size=8, seed=seed))
        predictions.append(half(framework).predict(network, {"scaled": X}).tobytes())
    assert predictions[0] == predictions[1] != predictions[2]


def test_inference_has_no_dropout_and_a_row_does_not_depend_on_its_batch(framework: str) -> None:
    network, *_ = fitted(framework, Training(epochs=1), dropout=0.9)

    def predict(network: Any, x: Array) -> Array:
        return half(framework).predict(network, {"scaled": x})

    together = predict(network, X)
    assert predict(network, X).tobytes() == together.tobytes()
    assert predict(network, X[5:6]) == pytest.approx(together[5:6], rel=1e-5)
    many = np.tile(X, (100, 1))
    assert predict(network, many) == pytest.approx(np.tile(together, (100, 1)), rel=1e-5)


def test_divergence_is_seen_and_not_raised(framework: str) -> None:
    nowhere = rows(X[32:], np.full_like(X[32:], np.nan))
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
    x = {"scaled": X}
    assert half(framework).predict(fresh, x).tobytes() == half(framework).predict(network, x).tobytes()


def test_the_first_epoch_leaves_a_checkpoint_and_later_ones_ever_more_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: now))
    checkpoints, written = Checkpoints(tmp_path, seconds=10), list[float]()
    while now < 60:
        now += 0.5
        if checkpoints.due():
            checkpoints.write(Checkpoint(b"{}", {}, {}))
            written.append(now)
    assert written == [0.5, 1.5, 3.5, 7.5, 15.5, 25.5, 35.5, 45.5, 55.5]
    assert not Checkpoints(tmp_path, seconds=10, read_only=True).due()

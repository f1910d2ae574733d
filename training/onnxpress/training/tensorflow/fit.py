"""The fit loop in Keras: its own, with its callbacks for early stopping and progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from onnxpress.training.fitting import Array, Fit, History

WEIGHTS = "model.weights.h5"
_INFERENCE_ROWS = 4096


def seed(seed: int) -> None:
    """Seed Python, numpy and TensorFlow."""
    keras.utils.set_random_seed(seed)


class _Epochs(keras.callbacks.Callback):
    """Collects every epoch's losses and hands them on."""

    def __init__(self, job: Fit) -> None:
        super().__init__()
        self._job, self.history = job, History()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        losses = logs or {}
        self.history.training_loss.append(float(losses["loss"]))
        self.history.validation_loss.append(float(losses["val_loss"]))
        self._job.on_epoch(self.history.training_loss[-1], self.history.validation_loss[-1])


def fit(network: keras.Model, job: Fit) -> History:
    """Adam on the mean squared error; see Fit. The network ends with the best weights."""
    training = job.training
    epochs = _Epochs(job)
    adam = keras.optimizers.Adam(training.learning_rate, epsilon=1e-7)
    network.compile(optimizer=adam, loss="mean_squared_error")
    network.fit(
        *job.train,
        validation_data=tuple(job.validation),
        batch_size=training.batch_size,
        epochs=training.epochs,
        verbose=0,
        callbacks=[epochs, keras.callbacks.EarlyStopping(patience=training.patience, restore_best_weights=True)],
    )
    return epochs.history


def predict(network: keras.Model, x: Array) -> Array:
    """Inference mode; float32 in and out."""
    parts = [x[start : start + _INFERENCE_ROWS] for start in range(0, len(x), _INFERENCE_ROWS)]
    return np.concatenate([np.asarray(network(rows, training=False)) for rows in parts])


def save(network: keras.Model, path: Path) -> None:
    """The weights in Keras's HDF5 form."""
    network.save_weights(path)


def parameters(network: keras.Model) -> int:
    """The number of trained parameters."""
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)

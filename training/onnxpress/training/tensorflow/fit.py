"""The fit loop in Keras: its own, with its callbacks for early stopping, best weights and progress."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from onnxpress.training.fitting import Array, Fit, History

WEIGHTS = "model.weights.h5"


def seed(seed: int) -> None:
    """Seed Python, numpy and TensorFlow."""
    keras.utils.set_random_seed(seed)


class _Epochs(keras.callbacks.Callback):
    """Hands every epoch's losses on and collects them."""

    def __init__(self, job: Fit) -> None:
        super().__init__()
        self._job, self.history = job, History()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        losses = logs or {}
        self.history.training_loss.append(float(losses["loss"]))
        self.history.validation_loss.append(float(losses["val_loss"]))
        self._job.on_epoch(self.history.training_loss[-1], self.history.validation_loss[-1])


def fit(network: Any, job: Fit) -> History:
    """Adam on the mean squared error; see Fit. The network ends with the best weights."""
    training = job.training
    epochs = _Epochs(job)
    network.compile(optimizer=keras.optimizers.Adam(training.learning_rate, epsilon=1e-7), loss="mse")
    network.fit(
        job.x_train,
        job.y_train,
        validation_data=(job.x_validation, job.y_validation),
        batch_size=training.batch_size,
        epochs=training.epochs,
        verbose=0,
        callbacks=[
            epochs,
            keras.callbacks.ModelCheckpoint(str(job.weights), save_best_only=True, save_weights_only=True),
            keras.callbacks.EarlyStopping(patience=training.patience),
        ],
    )
    if np.isfinite(epochs.history.validation_loss).any():
        network.load_weights(job.weights)
    return epochs.history


def predict(network: Any, x: Array) -> Array:
    """Inference mode; float32 in and out."""
    return np.asarray(network(x, training=False))


def parameters(network: Any) -> int:
    """The number of trained parameters."""
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)

"""A 14-layer 1-D CNN over windows of a wrist's accelerometer, in Keras: a sequential model."""

from __future__ import annotations

import keras
from keras import layers


def build() -> keras.Model:
    """(batch, samples, 3) → probabilities (batch, 2)."""
    model = keras.Sequential(name="seizure_cnn")
    model.add(keras.Input((125, 3)))
    for i, filters in enumerate([8, 8, 16, 16, 24, 24]):
        for _ in range(2):
            model.add(layers.Conv1D(filters, 5 if i == 0 else 3, padding="same", kernel_initializer="he_uniform"))
            model.add(layers.BatchNormalization(momentum=0.9))
            model.add(layers.Activation("relu"))
        if i < 4:
            model.add(layers.MaxPooling1D(2))
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dropout(0.3))
    model.add(layers.Dense(2, activation="softmax"))
    return model

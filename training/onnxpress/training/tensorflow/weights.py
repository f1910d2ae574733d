"""A Keras network's weights in the form of `training.port`, which is Keras's own. Read beside the PyTorch one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from onnxpress.training.losses import Array


def load(network: keras.Model, path: Path) -> None:
    """A run's weights file into `network`."""
    network.load_weights(path)


def read(network: keras.Model) -> dict[str, dict[str, Array]]:
    """Layer name → role → array."""
    return {
        layer.name: {variable.name: np.asarray(variable) for variable in _variables(layer)}
        for layer in network.layers
        if _variables(layer)
    }


def write(network: keras.Model, layers: Mapping[str, Mapping[str, Array]]) -> None:
    """Put weights of the same names, roles and shapes into `network`."""
    for layer in network.layers:
        for variable in _variables(layer):
            variable.assign(layers[layer.name][variable.name])


def _variables(layer: keras.Layer) -> list[keras.Variable]:
    """The layer's weights without the states of its random generators, which are not the model's."""
    return [variable for variable in layer.weights if not variable.name.startswith("seed_generator")]

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
        layer.name: {role: np.asarray(variable) for role, variable in _variables(layer).items()}
        for layer in network.layers
        if _variables(layer)
    }


def write(network: keras.Model, layers: Mapping[str, Mapping[str, Array]]) -> None:
    """Put weights of the same names, roles and shapes into `network`."""
    for layer in network.layers:
        for role, variable in _variables(layer).items():
            variable.assign(layers[layer.name][role])


def _variables(layer: keras.Layer) -> dict[str, keras.Variable]:
    """The layer's weights by role, without the states of its random generators, which are not the model's."""
    if isinstance(layer, keras.layers.Bidirectional):
        sides = {"forward_": layer.forward_layer, "backward_": layer.backward_layer}
        return {side + role: found for side, part in sides.items() for role, found in _variables(part).items()}
    return {variable.name: variable for variable in layer.weights if not variable.name.startswith("seed_generator")}

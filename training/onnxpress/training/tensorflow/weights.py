"""A Keras network's weights in the form of `pipeline.port`, which is Keras's own. Read beside the PyTorch one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel


def load(network: keras.Model, path: Path) -> None:
    """A run's weights file into `network`."""
    network.load_weights(path)


def read(network: keras.Model) -> dict[str, dict[str, Array]]:
    """Layer name → role → array."""
    return {
        name: {role: np.asarray(variable) for role, variable in variables.items()}
        for name, variables in _layers(network).items()
    }


def write(network: keras.Model, layers: Mapping[str, Mapping[str, Array]]) -> None:
    """Put weights of the same names, roles and shapes into `network`."""
    for name, variables in _layers(network).items():
        for role, variable in variables.items():
            variable.assign(layers[name][role])


def _layers(network: keras.Model) -> dict[str, dict[str, keras.Variable]]:
    """The layers of the network and of its parts, which are models themselves."""
    layers: dict[str, dict[str, keras.Variable]] = {}
    for layer in network.layers:
        inner = _layers(layer) if isinstance(layer, keras.Model) else {layer.name: _variables(layer)}
        if layer.name.startswith("member_"):  # of an ensemble, whose members have layers of the same names
            inner = {f"{layer.name}/{name}": variables for name, variables in inner.items()}
        for name, variables in inner.items():
            if name in layers:
                raise BadModel(f"two layers are called {name!r}, so they cannot be told apart in PyTorch")
            if variables:
                layers[name] = variables
    return layers


def _variables(layer: keras.Layer) -> dict[str, keras.Variable]:
    """The layer's weights by role, without the states of its random generators, which are not the model's."""
    if isinstance(layer, keras.layers.Bidirectional):
        directions = {"forward": layer.forward_layer, "backward": layer.backward_layer}
        return {f"{way}_{role}": v for way, half in directions.items() for role, v in _variables(half).items()}
    return {variable.name: variable for variable in layer.weights if not variable.name.startswith("seed_generator")}

"""A Keras model as rung 1 asks it: with its own weights, or with each moved by one unit in the last place."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.noise_floor import moved
from onnxpress.export.network import Precision, TruthUnavailable
from onnxpress.export.networks.tensorflow.keras_model import KerasNetwork
from onnxpress.export.port.proof.keras_twin import kept, widened


class OfKeras:
    """The network; one that Keras cannot build again in float64 is widened itself for its truth."""

    def __init__(self, network: KerasNetwork, model: Any) -> None:
        self._network, self._model = network, model

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Name → array; see Network.run."""
        import tensorflow as tf

        try:
            return self._network.run(feeds, precision)
        except TruthUnavailable:
            tensors = [tf.constant(feeds[spec.name]) for spec in self._network.inputs]
            try:
                with widened(self._model) as model:
                    found = self._network.by_name(self._network.call(model, tensors))
                    return {name: np.asarray(value) for name, value in found.items()}
            except Exception as error:  # a kernel of TensorFlow is missing
                raise TruthUnavailable(str(error)) from error


class NearKeras(OfKeras):
    """The same with every float weight moved up or down by one unit in the last place, batch norm's statistics too.

    x·s + (b − m·s) and (x − m)·s + b, as two frameworks compute a norm, part by what a rounding of m comes to.
    """

    def __init__(self, network: KerasNetwork, model: Any) -> None:
        super().__init__(copy.copy(network), model)
        self._network.forget_float64()  # it is made of the moved weights

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Name → array; the model has its own weights back afterwards."""
        with kept(self._model) as model:
            near = moved({str(place): np.asarray(weight) for place, weight in enumerate(model.weights)})
            for weight, value in zip(model.weights, near.values(), strict=True):
                weight.assign(value)
            return super().run(feeds, precision)

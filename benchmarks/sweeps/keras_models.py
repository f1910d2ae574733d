"""Every model of keras.applications as a factory, small images in, and how many parameters each has."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

IMAGE = (80, 80, 3)
"""small, so that a sweep takes less than an hour; the Inception models take no smaller one"""
DRAWN = {
    "gamma": (0.6, 1.0),
    "beta": (-0.2, 0.2),
    "moving_mean": (-0.2, 0.2),
    "moving_variance": (1.0, 2.0),
}
"""below and above one: wider ranges were seen to make EfficientNetV2 chaotic, off by 8 % in float32 itself"""


def __getattr__(name: str) -> Callable[[], Any]:
    if not name[:1].isupper():
        raise AttributeError(name)
    return lambda: build(name)


def names() -> list[str]:
    """The models of the installed Keras, told by their capital letter."""
    import keras

    return [name for name in dir(keras.applications) if name[0].isupper() and callable(_class(name))]


def build(name: str) -> Any:
    """The model without trained weights, its logits as output.

    Fresh normalisations do nothing and fresh layer scales hide their branch, so both are drawn at random: a wrong
    conversion of either must show. Logits, because a softmax over a thousand random classes hides what comes before.
    """
    import numpy as np

    model = _class(name)(weights=None, input_shape=IMAGE, classifier_activation=None)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in DRAWN:
            weight.assign(generator.uniform(*DRAWN[weight.name], weight.shape))
    return model


def parameters() -> dict[str, int]:
    """Model name → number of parameters; each is built once."""
    import keras

    found = {}
    for name in names():
        print(name, file=sys.stderr, flush=True)
        found[name] = _class(name)(weights=None).count_params()
        keras.utils.clear_session()
    return found


def _class(name: str) -> Any:
    import keras

    return getattr(keras.applications, name)


if __name__ == "__main__":
    print(json.dumps(parameters()))

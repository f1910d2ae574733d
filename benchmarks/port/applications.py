"""keras.applications, each architecture once: small images, ten classes, random weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from benchmarks.sweeps.keras_models import DRAWN

ARCHITECTURES = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 71,
}
"""name → pixels to a side: the fewest that the architecture takes"""


def build(name: str) -> keras.Model:
    """(batch, side, side, 3) → logits (batch, 10), with norms and layer scales drawn so that all of them matter."""
    side = ARCHITECTURES[name]
    make: Any = getattr(keras.applications, name)
    model = make(weights=None, input_shape=(side, side, 3), classes=10, classifier_activation=None)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in DRAWN:
            weight.assign(generator.uniform(*DRAWN[weight.name], weight.shape))
    return model

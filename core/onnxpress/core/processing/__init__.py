"""What turns raw inputs into the network's tensors, and its outputs into answers: a description and its numpy form.

A description is a list of steps over named tensors. `training` fits it and uses the numpy form below, `export` writes
the same steps into the ONNX graph (`onnxpress.export.graph.compose`), and the two are compared on real raw rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from onnxpress.core.processing.character_features import CharacterFeatures, CharacterNgrams
from onnxpress.core.processing.columns import Concatenate, Lookup, OneHot, Squeeze, Stack
from onnxpress.core.processing.decisions import (
    AllOf,
    AnyOf,
    BinaryLabel,
    Isotonic,
    Label,
    Maximum,
    Pick,
    Platt,
    Sigmoid,
    Softmax,
    Temperature,
    Threshold,
    TopK,
    WeightedSum,
)
from onnxpress.core.processing.forest import IsolationForest
from onnxpress.core.processing.image import Image
from onnxpress.core.processing.numeric import Impute, MeanSquaredError, Scale, Unscale
from onnxpress.core.processing.signal import Magnitude, Spectrogram, Standardise
from onnxpress.core.processing.step import Tensors
from onnxpress.core.processing.text import Characters, Words

Step = (
    Scale
    | Unscale
    | Impute
    | MeanSquaredError
    | Stack
    | Concatenate
    | Lookup
    | OneHot
    | Squeeze
    | Characters
    | Words
    | CharacterFeatures
    | CharacterNgrams
    | Image
    | Magnitude
    | Standardise
    | Spectrogram
    | Softmax
    | Sigmoid
    | Platt
    | Temperature
    | Isotonic
    | Threshold
    | AnyOf
    | Label
    | BinaryLabel
    | TopK
    | Maximum
    | Pick
    | IsolationForest
    | AllOf
    | WeightedSum
)


class Processing(msgspec.Struct, frozen=True, kw_only=True):
    """The steps before the network (from the raw inputs) and after it (from any tensor seen so far)."""

    before: list[Step] = []
    after: list[Step] = []


def apply(steps: Iterable[Step], tensors: Tensors, *, dtype: str = "float32") -> Tensors:
    """Run `steps` in order; returns `tensors` and every step's output, computed in `dtype` (float32 or float64)."""
    known = dict(tensors)
    for step in steps:
        known |= step.outputs(known, dtype)
    return known


def raw_inputs(steps: Iterable[Step]) -> list[str]:
    """What the steps read that no step before them makes, in order."""
    made: set[str] = set()
    read: dict[str, None] = {}
    for step in steps:
        read |= dict.fromkeys(name for name in step.reads if name not in made)
        made.update(step.makes)
    return list(read)


__all__ = [
    "AllOf",
    "AnyOf",
    "BinaryLabel",
    "CharacterFeatures",
    "CharacterNgrams",
    "Characters",
    "Concatenate",
    "Image",
    "Impute",
    "IsolationForest",
    "Isotonic",
    "Label",
    "Lookup",
    "Magnitude",
    "Maximum",
    "MeanSquaredError",
    "OneHot",
    "Pick",
    "Platt",
    "Processing",
    "Scale",
    "Sigmoid",
    "Softmax",
    "Spectrogram",
    "Squeeze",
    "Stack",
    "Standardise",
    "Step",
    "Temperature",
    "Tensors",
    "Threshold",
    "TopK",
    "Unscale",
    "WeightedSum",
    "Words",
    "apply",
    "raw_inputs",
]

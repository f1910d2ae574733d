"""What tf2onnx has no ONNX form for, with the way out; and layers that keep a state, or that answer in two ways."""

from __future__ import annotations

from typing import Any

from onnxpress.core.errors import BadModel, NotEquivalent

_TEXT = (
    "let the model begin after its TextVectorization, and describe it as the step `words` in a --preprocess file "
    "(docs/steps.md)"
)
_HASH = (
    "ONNX has no such hash: compute the bucket before the model is asked, or use StringLookup or IntegerLookup with a "
    "vocabulary"
)
_WAYS_OUT = {
    "StaticRegexReplace": _TEXT,
    "RegexReplace": _TEXT,
    "StringSplitV2": _TEXT,
    "StringLower": _TEXT,
    "StringToHashBucketFast": _HASH,
    "StringToHashBucketStrong": _HASH,
    "SparseCross": _HASH,
    "SparseCrossHashed": _HASH,
}


def no_conversion(line: str) -> BadModel:
    """The error for tf2onnx's line `Tensorflow op [NAME: KIND] is not supported`."""
    name, _, kind = line.partition("[")[2].partition("]")[0].rpartition(": ")
    return BadModel(
        f"tf2onnx has no conversion for an operation: {kind} ({name})" if kind else line.strip(),
        hint=_WAYS_OUT.get(kind, "replace it by operations that have one, or do it before the model is asked"),
    )


def refuse_stateful(model: Any, where: str) -> None:
    """Raise NotEquivalent where a recurrent layer carries its state from one call to the next."""
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            raise NotEquivalent(
                f"the layer {layer.name!r} is stateful: it begins where the last call ended, and a graph has no memory",
                where=where,
                hint="build it with stateful=False, and make its state an input and an output if callers need it",
            )


def refuse_rounding(model: Any, where: str) -> None:
    """Raise BadModel where Keras 3.15 resizes whole numbers: `model(x)` rounds them, `model.predict(x)` does not."""
    for layer in model._flatten_layers():
        if type(layer).__name__ != "Resizing" or layer.interpolation == "nearest":
            continue
        try:
            dtype = str(layer.input.dtype)
        except (AttributeError, ValueError):  # called by a subclassed model's own code, or in several places
            continue
        if "int" in dtype:
            raise BadModel(
                f"the layer {layer.name!r} resizes {dtype}: Keras rounds what it makes of them in model(x), and not in "
                "model.predict(x), so that no graph answers as both do",
                where=where,
                hint="let a layer before it make floats of them, as keras.layers.Rescaling(1 / 255) does",
            )

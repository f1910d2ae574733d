"""Keras's masks: which layers hand them on, and how a mask is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import tree

from onnxpress.export.port.from_keras.values import Value
from onnxpress.export.port.layout import identity

if TYPE_CHECKING:
    from onnxpress.export.port.from_keras.builder import Builder

OUTSIDE = "outside"
"""stands for the mask of a value that crossed the border of a block with one"""
_OWN = ("Embedding", "Masking", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "MultiHeadAttention", "Attention")
"""say themselves whether there is a mask behind them"""


def mask_of(w: Builder, value: Value) -> Value | None:
    """The value's mask, None where it has none. Raises NoCorrespondence where it came into the block with it."""
    if value.mask is OUTSIDE:
        raise w.refuse("a mask that comes from outside of a model or layer of your own has no correspondence")
    found: Value | None = value.mask
    return found


def mask_behind(w: Builder, layer: keras.Layer, args: Any, found: Any) -> None:
    """Hand the masks of `args` on to `found` as Keras does."""
    if not type(layer).compute_mask.__module__.startswith("keras.") and isinstance(found, Value):
        found.mask = OUTSIDE  # what the author's own compute_mask tells is not followed
        return
    given = [v for v in tree.flatten(args) if isinstance(v, Value)]
    masks = [v.mask for v in given]
    kind = type(layer).__name__
    if all(mask is None for mask in masks) or not layer.supports_masking or kind in _OWN:
        return
    if kind in ("GlobalAveragePooling1D", "GlobalMaxPooling1D", "Dot"):
        return
    if not isinstance(found, Value):
        raise w.refuse(f"a mask through {kind} has no correspondence")
    if kind == "Concatenate":
        if layer.axis not in (-1, given[0].rank - 1):
            raise w.refuse("a mask through Concatenate along another axis than the last has no correspondence")
        if any(mask is None for mask in masks):  # what has none is seen
            return
    elif any(mask is None for mask in masks):
        return
    mask = mask_of(w, given[0]) if masks[0] is not OUTSIDE else OUTSIDE
    for one in given[1:]:
        if one.mask is not mask and one.mask is not OUTSIDE:
            mask = w.function("logical_or", mask, one.mask, perm=identity(2))
    found.mask = mask

"""Keras's masks: which layers hand them on, and how a mask is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
from keras import tree

from onnxpress.export.port.from_keras.graph import NoAnswer
from onnxpress.export.port.from_keras.values import Value
from onnxpress.export.port.layout import Unordered, identity

if TYPE_CHECKING:
    from onnxpress.export.port.from_keras.builder import Builder

OUTSIDE = "outside"
"""stands for the mask of a value that came into a block with one"""
UNTOLD = "untold"
"""stands for the mask of one of several answers of a block"""
_OWN = (
    "Embedding", "Masking", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "MultiHeadAttention", "Attention",
    "AdditiveAttention",
)  # fmt: skip
"""say themselves whether there is a mask behind them"""


@dataclass(frozen=True)
class Within:
    """Stands for the mask that the answer of a block has, which was made within it."""

    place: tuple[str, str]


def coming_in(path: str) -> tuple[str, str]:
    """The place in `Shared.settled` that says: the block at this path is called with the masks of its arguments."""
    return ("mask in", path)


def mask_of(w: Builder, value: Value) -> Value | None:
    """The value's mask, None where it has none.

    Raises NoCorrespondence of a mask of one of several answers. Raises Unordered where the mask is on the other side of
    a block's border: the model is written anew then, and the mask is one of the block's arguments or answers.
    """
    if value.mask is OUTSIDE:
        raise Unordered(coming_in(w.path))
    if isinstance(value.mask, Within):
        raise Unordered(value.mask.place)
    if value.mask is UNTOLD:
        raise w.refuse("a mask of one of several answers of a model or layer of your own has no correspondence")
    found: Value | None = value.mask
    return found


def mask_behind(w: Any, layer: keras.Layer, args: Any, found: Any) -> None:
    """Hand the masks of `args` on to `found` as Keras does."""
    given = [v for v in tree.flatten(args) if isinstance(v, Value)]
    masks = [v.mask for v in given]
    kind = type(layer).__name__
    if not layer.supports_masking or kind in _OWN:
        return
    if isinstance(found, Value) and found.mask is not None and w.is_block(layer):
        return  # it was made within
    if w.is_block(layer) and type(layer).compute_mask not in (keras.Layer.compute_mask, keras.Model.compute_mask):
        _computed(w, layer, args, found)
        return
    if all(mask is None for mask in masks):
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
    mask = masks[0] if len(masks) == 1 else mask_of(w, given[0])
    for one in given[1:]:
        if one.mask is not mask:
            mask = w.function("logical_or", mask, mask_of(w, one), perm=identity(2))
    found.mask = mask


def _computed(w: Any, layer: keras.Layer, args: Any, found: Any) -> None:
    """By the author's own compute_mask."""
    first = args[0] if args else None
    if not isinstance(first, Value) or not isinstance(found, Value):
        if any(v.mask is not None for v in tree.flatten(args) if isinstance(v, Value)):
            raise w.refuse("a mask that compute_mask tells for several tensors has no correspondence")
        return
    before = mask_of(w, first)
    try:
        found.mask = w.inline(layer.compute_mask, (first, before), {})
    except NoAnswer:
        found.mask = None

"""Layers and operations over images: their size, their parts, and what changes them while a model is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxpress.export.port.from_keras.axes import reshaped, transposed
from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.registry import layer, operation
from onnxpress.export.port.from_keras.values import Value, channels_first
from onnxpress.export.port.layout import identity

_WHY = "channels first, as this function has them"
_MODES = {"bilinear": "bilinear", "nearest": "nearest-exact"}
"""Keras's resize, which is TensorFlow's with the centres of pixels → torch's"""
AUGMENTING = (
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
    "RandomColorJitter", "RandomColorDegeneration", "RandomSaturation", "RandomHue", "RandomGrayscale",
    "RandomSharpness", "RandomShear", "RandomPerspective", "RandomErasing", "RandomGaussianBlur", "RandomInvert",
    "RandomElasticTransform", "RandomPosterization",
)  # fmt: skip
"""change images in training alone"""
_LUMA = np.array([0.2989, 0.5870, 0.1140], np.float32)


@layer(*AUGMENTING)
def _augmenting(w: Builder, keras_layer: Any, x: Value) -> Value:
    kind = type(keras_layer).__name__
    w.shared.differences.append(
        f"{keras_layer.name}: Keras's {kind} changes the images at random in training, which torch's data must"
    )
    return w.floats(x)


def _images(w: Builder, owner: Any, x: Value) -> Value:
    """(rows, channels, height, width), floats."""
    x = w.settle(w.floats(x))
    if x.rank != 4:
        raise w.refuse("a single image, or one without channels, has no correspondence", "give rows of images")
    is_first = getattr(owner, "data_format", None) == "channels_first"
    return w.in_layout(x, identity(4) if is_first else channels_first(4), _WHY)


def _resized(w: Builder, x: Value, size: Sequence[int], mode: str, *, antialias: bool) -> Value:
    if mode not in _MODES:
        raise w.refuse(f"a resize by {mode} has no correspondence", "bilinear or nearest")
    options: dict[str, Any] = {"mode": _MODES[mode]}
    if mode == "bilinear":
        options["align_corners"] = False
        options |= {"antialias": True} if antialias else {}
    return w.function("interpolate", x, size=tuple(int(s) for s in size), perm=x.perm, **options)


@layer("Resizing")
def _resizing(w: Builder, keras_layer: Any, x: Value) -> Value:
    if keras_layer.crop_to_aspect_ratio or keras_layer.pad_to_aspect_ratio:
        raise w.refuse("a Resizing that keeps the aspect ratio has no correspondence", "crop or pad before it")
    x = _images(w, keras_layer, x)
    size = (keras_layer.height, keras_layer.width)
    if x.shown.sizes[2:] == size:
        return x
    return _resized(w, x, size, keras_layer.interpolation, antialias=bool(keras_layer.antialias))


@operation("Resize")
def _resize(w: Builder, op: Any, x: Value) -> Value:
    if op.crop_to_aspect_ratio or op.pad_to_aspect_ratio:
        raise w.refuse("a resize that keeps the aspect ratio has no correspondence", "crop or pad before it")
    if not x.dtype.startswith("float"):
        raise w.refuse("a resize of integers has no correspondence", "cast to float32 before it")
    return _resized(w, _images(w, op, x), op.size, op.interpolation, antialias=bool(op.antialias))


@layer("CenterCrop")
def _center_crop(w: Builder, keras_layer: Any, x: Value) -> Value:
    x = _images(w, keras_layer, x)
    cuts: list[Any] = []
    for axis, wanted in zip(x.perm[2:], (keras_layer.height, keras_layer.width), strict=True):
        size = x.sizes[axis]
        if size is None or size < wanted:
            raise w.refuse("a CenterCrop of images that may be smaller has no correspondence", "give a fixed size")
        first = (size - wanted) // 2
        cuts.append(slice(first, first + wanted) if size > wanted else slice(None))
    if cuts == [slice(None)] * 2:
        return x
    return w.function("getitem", x, (Ellipsis, *cuts), perm=x.perm)


@operation("RGBToGrayscale")
def _grayscale(w: Builder, op: Any, x: Value) -> Value:
    x = _images(w, op, x)
    shares = w.variable(_LUMA.reshape(-1, *(1,) * (3 - x.perm[1])), "luma")
    (a, b), _ = w.together([x, shares])
    return w.function("sum", w.like(x, "mul", a, b), dim=1, keepdim=True, perm=x.perm)


@operation("PadImages")
def _pad_images(w: Builder, op: Any, x: Value) -> Value:
    x = _images(w, op, x)
    height, width = (x.sizes[axis] for axis in x.perm[2:])
    if height is None or width is None:
        raise w.refuse("a padding to a size, of images whose size varies, has no correspondence")
    below, right = (
        _rest(op.bottom_padding, op.top_padding, op.target_height, height, 1),
        _rest(op.right_padding, op.left_padding, op.target_width, width, 1),
    )
    top = op.top_padding if op.top_padding is not None else op.target_height - height - below
    left = op.left_padding if op.left_padding is not None else op.target_width - width - right
    return w.function("pad", x, (left, right, top, below), perm=x.perm)


@operation("CropImages")
def _crop_images(w: Builder, op: Any, x: Value) -> Value:
    x = _images(w, op, x)
    height, width = (x.sizes[axis] for axis in x.perm[2:])
    if height is None or width is None:
        raise w.refuse("a cropping to a size, of images whose size varies, has no correspondence")
    below, right = (
        _rest(op.bottom_cropping, op.top_cropping, op.target_height, height, -1),
        _rest(op.right_cropping, op.left_cropping, op.target_width, width, -1),
    )
    top = op.top_cropping if op.top_cropping is not None else height - op.target_height - below
    left = op.left_cropping if op.left_cropping is not None else width - op.target_width - right
    return w.function("getitem", x, (Ellipsis, slice(top, height - below), slice(left, width - right)), perm=x.perm)


def _rest(given: int | None, other: int | None, target: int | None, size: int, sign: int) -> int:
    """What is added (sign 1) or cut off (−1) at the end."""
    if given is not None:
        return given
    return sign * ((target or size) - size) - (other or 0)


@operation("ExtractPatches")
def _extract_patches(w: Builder, op: Any, x: Value) -> Value:
    size = (op.size,) * 2 if isinstance(op.size, int) else tuple(op.size)
    strides = size if op.strides is None else (op.strides,) * 2 if isinstance(op.strides, int) else tuple(op.strides)
    dilation = op.dilation_rate if isinstance(op.dilation_rate, int) else tuple(op.dilation_rate)
    if len(size) != 2:
        raise w.refuse("patches of volumes have no correspondence")
    x = _images(w, op, x)
    height, width = (x.sizes[axis] for axis in x.perm[2:])
    if height is None or width is None:
        raise w.refuse("patches of images whose size varies have no correspondence", "give a fixed size")
    if op.padding == "same" and (strides != size or height % size[0] or width % size[1]):
        raise w.refuse("patches with padding `same` have no correspondence", "pad before them")
    if dilation not in (1, (1, 1)):
        raise w.refuse("patches with dilation have no correspondence")
    if getattr(op, "data_format", None) == "channels_first":
        raise w.refuse("patches of channels first have no correspondence")
    channels = x.shown.first[3]
    down, along = ((s - k) // t + 1 for s, k, t in zip((height, width), size, strides, strict=True))
    if strides == size and not height % size[0] and not width % size[1]:
        found = reshaped(w, x, (-1, down, size[0], along, size[1], channels))
        return reshaped(w, transposed(w, found, (0, 1, 3, 2, 4, 5)), (-1, down, along, size[0] * size[1] * channels))
    flat = w.function("unfold", x, size, stride=strides, called="patches")  # rows, channels · places, patches
    apart = w.function("unflatten", flat, 1, (channels, size[0] * size[1]))
    moved = w.function("permute", apart, (0, 3, 2, 1), comment="each patch has its channels last, as in Keras")
    return w.function("reshape", moved, (-1, down, along, size[0] * size[1] * channels))

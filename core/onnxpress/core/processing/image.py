"""Steps over raw images, (batch, height, width, channels) of whole numbers from 0 to 255."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing.step import Step, Tensors, check_finite

_Size = Annotated[int, msgspec.Meta(ge=1, le=65536)]


class Image(Step, frozen=True, kw_only=True, tag="image"):
    """uint8 images of any size → `height` × `width`, then (x / 255 - mean) / std for each channel.

    The resizing is that of ONNX's Resize: linear along both axes, half_pixel, edges repeated, without antialiasing.
    So are torch's `interpolate(mode="bilinear")` and `tf.image.resize`; Pillow, and torchvision on Pillow's images,
    smooth where they shrink and give other pixels.
    """

    input: str
    height: _Size
    width: _Size
    mean: Annotated[tuple[float, ...], msgspec.Meta(min_length=1)] = (0.0, 0.0, 0.0)
    """of each channel, with 255 counted as 1"""
    std: Annotated[tuple[float, ...], msgspec.Meta(min_length=1)] = (1.0, 1.0, 1.0)
    channels: Literal["first", "last"] = "first"
    """where the output has them"""

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} channels in mean and {len(self.std)} in std")
        check_finite("mean", self.mean)
        check_finite("std", self.std)
        if min(self.std) <= 0:
            raise ValueError(f"std has {min(self.std)}; it must be above 0")

    def scaling(self, dtype: str) -> tuple[Array, Array]:
        """Offset and factor of each channel, (channels,) with float32's digits: (x - 255 mean) × 1 / (255 std)."""
        offset, factor = 255 * np.asarray(self.mean, np.float64), 1 / (255 * np.asarray(self.std, np.float64))
        return offset.astype(np.float32).astype(dtype), factor.astype(np.float32).astype(dtype)

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, height, width, channels) uint8 → (batch, channels, height, width), or channels last, in `dtype`.

        Raises ValueError for another rank, dtype or number of channels, and for images without a pixel.
        """
        x = tensors[self.input]
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] != len(self.mean):
            wanted = f"uint8 [batch, height, width, {len(self.mean)}]"
            raise ValueError(f"{self.input!r} is {x.dtype} {list(x.shape)}; the images must be {wanted}")
        if 0 in x.shape[1:3]:
            raise ValueError(f"{self.input!r} is {list(x.shape)}; an image needs a pixel")
        top, bottom, down = _neighbours(x.shape[1], self.height, dtype)
        left, right, along = _neighbours(x.shape[2], self.width, dtype)
        down, along = down[:, None, None], along[:, None]
        # Rows and columns are picked before they become floats: four times the small image, never the large one.
        upper, lower = (
            x[:, row][:, :, left].astype(dtype) * (1 - along) + x[:, row][:, :, right].astype(dtype) * along
            for row in (top, bottom)
        )
        offset, factor = self.scaling(dtype)
        result: Array = (upper * (1 - down) + lower * down - offset) * factor
        return result if self.channels == "last" else np.ascontiguousarray(result.transpose(0, 3, 1, 2))


def _neighbours(size: int, wanted: int, dtype: str) -> tuple[Array, Array, Array]:
    """For each of `wanted` places the two old ones that it lies between, and the share of the second.

    Old place = (new + 0.5) × size / wanted - 0.5, kept within the image (half_pixel of ONNX's Resize). Computed in
    `dtype` in ONNX Runtime's order: in float32 a place in a large image is off by its last digit, in both alike.
    """
    half = np.asarray(0.5, dtype)
    scale = np.asarray(wanted, dtype) / np.asarray(size, dtype)
    place = np.clip((np.arange(wanted).astype(dtype) + half) / scale - half, 0, size - 1).astype(dtype)
    first = np.floor(place)
    before = first.astype(np.int64)
    return before, np.minimum(before + 1, size - 1), place - first

"""Images resized and scaled: against linear interpolation written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnxpress.core.processing import Image, apply


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) by the definition: half_pixel, linear, edges repeated."""

    def pixel(y: int, x: int) -> float:
        rows, columns = image.shape
        return float(image[min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)])

    out = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            y = (row + 0.5) * image.shape[0] / height - 0.5
            x = (column + 0.5) * image.shape[1] / width - 0.5
            top, left = int(np.floor(y)), int(np.floor(x))
            down, along = y - top, x - left
            out[row, column] = (
                pixel(top, left) * (1 - down) * (1 - along)
                + pixel(top, left + 1) * (1 - down) * along
                + pixel(top + 1, left) * down * (1 - along)
                + pixel(top + 1, left + 1) * down * along
            )
    return out


@pytest.mark.parametrize("size", [(5, 7), (2, 3), (1, 1), (4, 4)])
def test_resizing_is_linear_between_the_centres_of_pixels(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, *size, 1), np.uint8)
    step = Image(input="x", output="y", height=4, width=4, mean=(0.0,), std=(1 / 255,), channels="last")
    got = apply([step], {"x": pixels}, dtype="float64")["y"]
    np.testing.assert_allclose(got[0, :, :, 0], resized(pixels[0, :, :, 0], 4, 4), atol=1e-4)


def test_each_channel_has_its_mean_and_std_and_comes_first() -> None:
    pixels = np.full((2, 3, 3, 2), 255, np.uint8)
    step = Image(input="x", output="y", height=2, width=5, mean=(0.5, 1.0), std=(0.25, 2.0))
    got = apply([step], {"x": pixels})["y"]
    assert (got.dtype, got.shape) == (np.float32, (2, 2, 2, 5))
    np.testing.assert_allclose(got[:, 0], 2.0, rtol=1e-6)
    np.testing.assert_allclose(got[:, 1], 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "dtype", "says"),
    [
        ((1, 4, 4, 3), np.float32, "is float32"),
        ((4, 4, 3), np.uint8, "the images must be uint8"),
        ((1, 4, 4, 1), np.uint8, r"\[batch, height, width, 3\]"),
        ((1, 0, 4, 3), np.uint8, "an image needs a pixel"),
    ],
)
def test_what_is_no_image_is_refused(shape: tuple[int, ...], dtype: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        apply([Image(input="x", output="y", height=2, width=2)], {"x": np.zeros(shape, dtype)})


@pytest.mark.parametrize(
    ("mean", "std", "says"),
    [
        ((0.0,), (1.0, 1.0), "1 channels in mean and 2 in std"),
        ((0.0,), (0.0,), "must be above 0"),
        ((float("nan"),), (1.0,), "mean 0 is nan"),
    ],
)
def test_a_scale_that_is_none_is_refused(mean: tuple[float, ...], std: tuple[float, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Image(input="x", output="y", height=2, width=2, mean=mean, std=std)

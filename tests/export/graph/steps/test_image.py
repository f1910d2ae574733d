"""Any image is resized and scaled alike by numpy and by the graph, as torch's bilinear interpolation does it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx")

from tests.export.graph.steps.step_graph import IMAGES, graph

from onnxpress.core import processing
from onnxpress.core.arrays import Array
from onnxpress.core.processing import Image, apply

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXEL = 255 * 0.225
"""of normalised images: what one step of a pixel is divided by"""


def images(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)


def said(step: Image, x: Array) -> Array:
    """The numpy form's answer, after the graph has given the same."""
    expected = apply([step], {"x": x})["y"]
    found = graph(IMAGES, step).run({"x": x})["y"]
    assert found.dtype == expected.dtype == np.float32
    size = (step.height, step.width)
    assert found.shape == expected.shape == (len(x), *((3, *size) if step.channels == "first" else (*size, 3)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 / PIXEL)  # a ten-thousandth of a pixel's step
    return expected


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from(["first", "last"]),
    seed=st.integers(0, 99),
)
def test_any_image_is_read_alike(
    shape: tuple[int, int, int], size: tuple[int, int], channels: Literal["first", "last"], seed: int
) -> None:
    step = Image(input="x", output="y", height=size[0], width=size[1], mean=MEAN, std=STD, channels=channels)
    said(step, images(*shape, seed=seed))


@pytest.mark.parametrize("shape", [(2, 480, 640), (1, 1081, 1919), (1, 1, 1), (1, 1, 500), (1, 500, 1), (1, 224, 224)])
def test_usual_and_unusual_sizes(shape: tuple[int, int, int]) -> None:
    x = images(*shape)
    found = said(Image(input="x", output="y", height=224, width=224, mean=MEAN, std=STD), x)
    if shape[1:] == (1, 1):
        assert (np.ptp(found, axis=(2, 3)) == 0).all(), "a single pixel fills the image"


def test_an_image_of_the_wanted_size_is_scaled_alone() -> None:
    x = images(2, 6, 9)
    found = said(Image(input="x", output="y", height=6, width=9, channels="last"), x)
    np.testing.assert_allclose(found, x / np.float32(255), rtol=2e-7)


def test_one_channel() -> None:
    step = Image(input="x", output="y", height=3, width=3, mean=(0.5,), std=(0.5,))
    x = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(apply([step], {"x": x})["y"][0, 0], [[-1, 0, 1]] * 3, atol=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize(("shape", "size"), [((2, 30, 41), (7, 64)), ((1, 5, 3), (5, 3)), ((1, 1, 9), (4, 4))])
def test_torch_interpolates_to_the_same(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    x = images(*shape)
    step = Image(input="x", output="y", height=size[0], width=size[1], mean=MEAN, std=STD)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2).double()
    resized = torch.nn.functional.interpolate(pixels, size, mode="bilinear", align_corners=False).numpy()
    expected = (resized / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    np.testing.assert_allclose(apply([step], {"x": x}, dtype="float64")["y"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 4, 4, 3), np.float32), "float32"),
        (np.zeros((1, 4, 4, 4), np.uint8), r"must be uint8 \[batch, height, width, 3\]"),
        (np.zeros((4, 4, 3), np.uint8), "must be uint8"),
        (np.zeros((1, 0, 4, 3), np.uint8), "needs a pixel"),
    ],
)
def test_what_is_no_image_is_refused(x: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply([processing.Image(input="x", output="y", height=2, width=2)], {"x": x})

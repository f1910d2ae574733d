"""Windows of samples: magnitude, standardising, spectrogram against their definitions."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from onnxpress.core.processing import Magnitude, Spectrogram, Standardise, apply


def test_magnitude_is_the_length_of_the_vector() -> None:
    got = apply([Magnitude(input="x", output="y")], {"x": np.array([[[3.0, 4.0], [0.0, -2.0]]])})["y"]
    assert (got.dtype, got.tolist()) == (np.float32, [[[5.0], [2.0]]])


def test_standardised_windows_have_mean_0_and_deviation_1_each() -> None:
    x = np.random.default_rng(0).normal(5.0, 3.0, (2, 50, 3))
    got = apply([Standardise(input="x", output="y")], {"x": x}, dtype="float64")["y"]
    np.testing.assert_allclose(got.mean(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(got.std(axis=1), 1.0, rtol=1e-5)


def test_a_window_that_does_not_move_is_0_and_no_nan() -> None:
    assert not apply([Standardise(input="x", output="y")], {"x": np.full((1, 4, 1), 2.5)})["y"].any()


def test_a_spectrogram_is_the_discrete_fourier_transform_of_windowed_pieces() -> None:
    window, hop = 6, 4
    step = Spectrogram(input="x", output="y", window=window, hop=hop)
    x = np.random.default_rng(0).normal(size=(2, 15, 2))
    got = apply([step], {"x": x}, dtype="float64")["y"]
    assert step.bins == 4
    assert got.shape == (2, 3, 2 * 4)
    for row, frame, channel, bin_ in np.ndindex(2, 3, 2, 4):
        total = 0j
        for time in range(window):
            hann = 0.5 - 0.5 * math.cos(2 * math.pi * time / window)
            sample = x[row, frame * hop + time, channel]
            total += hann * sample * cmath.exp(-2j * math.pi * bin_ * time / window)
        assert got[row, frame, channel * 4 + bin_] == pytest.approx(abs(total), abs=1e-5)


def test_samples_shorter_than_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="3 samples are shorter than the spectrogram's window of 4"):
        apply([Spectrogram(input="x", output="y", window=4, hop=1)], {"x": np.zeros((1, 3, 1))})

"""Steps over windows of samples, (batch, time, channels)."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing.step import Step, Tensors


class Magnitude(Step, frozen=True, kw_only=True, tag="magnitude"):
    """The length of the vector of the channels: √Σx², one channel in place of them."""

    input: str

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, time, channels) → (batch, time, 1) in `dtype`."""
        x = tensors[self.input].astype(dtype)
        result: Array = np.sqrt((x * x).sum(axis=-1, keepdims=True))
        return result


class Standardise(Step, frozen=True, kw_only=True, tag="standardise"):
    """Every window and channel to mean 0 and standard deviation 1: (x - mean) / (deviation + epsilon)."""

    input: str
    epsilon: Annotated[float, msgspec.Meta(gt=0)] = 1e-6

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, time, channels) → the same in `dtype`."""
        x = tensors[self.input].astype(dtype)
        centred = x - x.mean(axis=1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=1, keepdims=True))
        result: Array = centred / (deviation + np.asarray(self.epsilon, dtype))
        return result


class Spectrogram(Step, frozen=True, kw_only=True, tag="spectrogram"):
    """Magnitudes of the discrete Fourier transform of overlapping pieces under Hann's window.

    Pieces of `window` samples start every `hop`; each channel gives window // 2 + 1 frequencies, side by side.
    """

    input: str
    window: Annotated[int, msgspec.Meta(ge=2, le=65536)]
    hop: Annotated[int, msgspec.Meta(ge=1)]

    @property
    def bins(self) -> int:
        """Frequencies of one channel."""
        return self.window // 2 + 1

    def bases(self, dtype: str) -> tuple[Array, Array]:
        """The windowed cosines and sines, (window, bins) each, with float32's digits."""
        time = np.arange(self.window)[:, None]
        hann = 0.5 - 0.5 * np.cos(2 * math.pi * time / self.window)
        angle = 2 * math.pi * time * np.arange(self.bins) / self.window
        cosines, sines = ((hann * wave(angle)).astype(np.float32).astype(dtype) for wave in (np.cos, np.sin))
        return cosines, sines

    def apply(self, tensors: Tensors, dtype: str) -> Array:
        """(batch, time, channels) → (batch, (time - window) // hop + 1, channels × bins) in `dtype`."""
        x = tensors[self.input].astype(dtype)
        if x.shape[1] < self.window:
            raise ValueError(f"{x.shape[1]} samples are shorter than the spectrogram's window of {self.window}")
        pieces = np.lib.stride_tricks.sliding_window_view(x, self.window, axis=1)[:, :: self.hop]
        real, imaginary = (pieces @ base for base in self.bases(dtype))  # (batch, frames, channels, bins)
        magnitude = np.sqrt(real * real + imaginary * imaginary)
        result: Array = magnitude.reshape(*magnitude.shape[:2], -1)
        return result

"""The 1-D CNN of 14 convolutions that sees seizures in a wrist accelerometer's windows, and its smaller variants.

After Spahr et al., Epilepsia 2025, doi 10.1111/epi.18406. window → unit → magnitude → convolutions → mean over time →
dense → classes
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.processing import Magnitude, Scale, Spectrogram, Standardise, Step
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.data.windows import WINDOWS
from onnxpress.training.families import classification
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.fitting import metrics
from onnxpress.training.settings import Training

_Units = Annotated[int, msgspec.Meta(ge=1, le=65536)]
_Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
_FACTOR = {"g": 1.0, "mg": 1e-3, "m/s2": 1 / 9.80665}


class SpectrogramSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Magnitudes of the Fourier transform of Hann-windowed pieces, as the network's input in place of the samples."""

    window: _Units = 50
    """samples in a piece"""
    hop: _Units = 10
    """samples from one piece's begin to the next"""


class Augmentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changed copies of the training windows, drawn once from the training's seed."""

    copies: _Units = 1
    """of every training window"""
    noise: Annotated[float, msgspec.Meta(ge=0)] = 0.05
    """standard deviation of added Gaussian noise, as a share of the training windows' own"""
    phase: bool = True
    """turn each copy in time by a random share of the window, its end joined to its begin"""


class Cnn14(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="cnn14"):
    """The spec of the network, the same for both frameworks.

    Each convolution (valid padding) and dense layer is followed by batch norm and ReLU; dropout after the first dense.
    The plain variant has three filters and no stride: `filters: [16, 32, 64]`, `stride_every: 0`.
    """

    filters: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (16, *[32] * 11, 64, 64)
    """of each convolution"""
    kernel: _Units = 5
    """width of the convolutions, in samples"""
    stride_every: Annotated[int, msgspec.Meta(ge=0)] = 5
    """every so many convolutions one has stride 2; 0: none"""
    dense: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (64, 64, 32, 16)
    """units of each dense layer"""
    dropout: _Rate = 0.5
    """share of the values that are set to zero in training, after the first dense layer"""
    epsilon: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    """what batch norm adds to the variance"""
    momentum: _Rate = 0.9
    """share of the old statistics that batch norm keeps at each step, as Keras counts it"""
    unit: Literal["g", "mg", "m/s2"] | None = None
    """of the raw axes, which are turned into g; without it they are taken as they are"""
    magnitude: bool = False
    """one channel, the length of the vector of the axes, in place of the axes"""
    normalise: bool = False
    """each window and channel to mean 0 and standard deviation 1"""
    spectrogram: SpectrogramSettings | None = None
    """the network sees the window's spectrogram in place of its samples"""
    augmentation: Augmentation | None = None
    """train on changed copies of the windows too"""
    positive: str | None = None
    """of two labels, the one that is looked for: class 1"""

    def reading(self) -> Reading:
        """Windows come from sources of their own; of a table, nothing."""
        return Reading()

    @property
    def smallest_window(self) -> int:
        """The shortest sequence that the valid convolutions leave one step of: 125 for the fourteen."""
        length = 1
        for number in range(len(self.filters), 0, -1):
            length = (length - 1) * self._stride(number) + self.kernel
        return length

    def _stride(self, number: int) -> int:
        return 2 if self.stride_every and number % self.stride_every == 0 else 1

    def network(self, *, length: int, channels: int, classes: int) -> dict[str, Any]:
        """The settings of the network's factory in either framework, for (batch, length, channels) windows."""
        return {
            "length": length,
            "channels": channels,
            "filters": list(self.filters),
            "kernel": self.kernel,
            "stride_every": self.stride_every,
            "dense": list(self.dense),
            "dropout": self.dropout,
            "classes": classes,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
        }

    def parameters(self, *, channels: int, classes: int) -> int:
        """Convolutions (kernel × inputs + 1) × filters, dense layers (inputs + 1) × units, norms 2 a channel."""
        total = 0
        for filters in self.filters:
            total += (self.kernel * channels + 1) * filters + 2 * filters
            channels = filters
        for units in self.dense:
            total += (channels + 1) * units + 2 * units
            channels = units
        return total + (channels + 1) * classes

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the windows, never those of one event. Raises BadData for tables without windows, or short ones."""
        windows = table.columns.get(WINDOWS)
        if windows is None:
            raise BadData(
                "cnn14 takes windows of motion, and this source has none",
                where="data.source",
                hint="use time_series, events, samples, wide_samples, or npz with windows",
            )
        classes = classification.classes_of(table, positive=self.positive)
        y, (train, validation, held_out) = classification.divide(table, training, classes=classes)
        before, inner = self._before(windows.shape[2])
        names = [inner]
        seen = classification.network_tensors(before, {WINDOWS: windows[train]}, names)
        length, channels = seen[inner].shape[1:]
        if length < self.smallest_window:
            raise BadData(
                f"{len(self.filters)} convolutions need at least {self.smallest_window} steps, a window has {length}",
                where=f"windows of {windows.shape[1]} samples",
                hint="take longer windows, resample them, or give fewer model.filters",
            )
        x, y_train = _augmented(seen[inner], y[train], self.augmentation, seed=training.seed)
        checked = classification.network_tensors(before, {WINDOWS: windows[validation]}, names)
        return Prepared(
            network="cnn14",
            settings=self.network(length=length, channels=channels, classes=len(classes)),
            parameters=self.parameters(channels=channels, classes=len(classes)),
            loss="cross_entropy",
            train=classification.examples({inner: x}, y_train, classes, training),
            validation=classification.examples(checked, y[validation], classes, training),
            held_out={WINDOWS: windows[held_out]},
            target=y[held_out],
            groups=None if table.groups is None else table.groups[held_out],
            classes=classes,
            before=before,
            inputs=[TensorSpec(name=WINDOWS, dtype="float32", shape=("batch", *windows.shape[1:]))],
            network_inputs=[TensorSpec(name=inner, dtype="float32", shape=("batch", length, channels))],
            network_outputs=[TensorSpec(name="logits", dtype="float32", shape=("batch", len(classes)))],
        )

    def _before(self, axes: int) -> tuple[list[Step], str]:
        """The steps from raw windows to the network's input, and that input's name."""
        steps: list[Step] = []
        last = WINDOWS
        if self.unit is not None:
            factor = float(np.float32(_FACTOR[self.unit]))
            steps.append(Scale(input=last, output="in_g", offset=[0.0] * axes, factor=[factor] * axes))
            last = "in_g"
        if self.magnitude:
            steps.append(Magnitude(input=last, output="magnitude"))
            last = "magnitude"
        if self.normalise:
            steps.append(Standardise(input=last, output="normalised"))
            last = "normalised"
        if self.spectrogram:
            steps.append(
                Spectrogram(input=last, output="spectrogram", window=self.spectrogram.window, hop=self.spectrogram.hop)
            )
            last = "spectrogram"
        return steps, last

    def finish(self, prepared: Prepared, predict: Predict, *, title: str) -> Outcome:
        """The verdict by window and, where windows belong to events, by event (its most alarming window)."""
        outcome = classification.outcome(prepared, predict, title=title)
        if prepared.groups is None or len(prepared.classes) != 2:
            return outcome
        names = [spec.name for spec in prepared.network_inputs]
        logits = predict(classification.network_tensors(prepared.before, prepared.held_out, names))
        flagged = logits.argmax(axis=1) == 1
        events = np.unique(prepared.groups)
        truth_of = np.array([prepared.target[prepared.groups == event].max() == 1 for event in events])
        is_detected = np.array([flagged[prepared.groups == event].any() for event in events])
        by_event = {f"event_{name}": value for name, value in metrics.alarms(truth_of, is_detected).items()}
        alarms = np.array([flagged[prepared.groups == event].mean() for event in events])
        spread = {f"event_alarm_share_{name}": value for name, value in metrics.quantiles(alarms).items()}
        return replace(outcome, metrics={**outcome.metrics, "held_out_events": len(events), **by_event, **spread})


def _augmented(x: Array, y: Array, chosen: Augmentation | None, *, seed: int) -> tuple[Array, Array]:
    """The windows (rows, time, channels) and their changed copies."""
    if chosen is None:
        return x, y
    generator = np.random.default_rng(seed)
    parts, spread = [x], x.std(axis=(0, 1), keepdims=True)
    for _ in range(chosen.copies):
        copy = x + chosen.noise * spread * generator.standard_normal(x.shape)
        if chosen.phase:
            turns = generator.integers(0, x.shape[1], len(x))
            places = (np.arange(x.shape[1]) + turns[:, None]) % x.shape[1]
            copy = np.take_along_axis(copy, places[:, :, None], axis=1)
        parts.append(copy.astype(np.float32))
    return np.concatenate(parts), np.tile(y, chosen.copies + 1)

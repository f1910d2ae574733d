"""What the families of windows share: raw axes to the network's input, copies, a chosen threshold, events judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.processing import Magnitude, Pick, Scale, Softmax, Spectrogram, Standardise, Step, Threshold, apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.data import mixed_groups
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.data.windows import WINDOWS
from onnxpress.training.families import augmentation, classification, decision_threshold
from onnxpress.training.families.augmentation import IN_G, Augmentation
from onnxpress.training.families.decision_threshold import ThresholdChoice
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.fitting import losses, metrics
from onnxpress.training.settings import Training

_Units = Annotated[int, msgspec.Meta(ge=1, le=65536)]


class SpectrogramSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Magnitudes of the Fourier transform of Hann-windowed pieces, as the network's input in place of the samples."""

    window: _Units = 50
    """samples in a piece"""
    hop: _Units = 10
    """samples from one piece's begin to the next"""


class WindowFamily(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network that classifies windows (batch, time, axes); a family says its layers."""

    NETWORK: ClassVar[str]
    """the module of the network below `<framework>.models`"""

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
    threshold: ThresholdChoice | None = None
    """of two labels: the probability from which the second is said, chosen on the validation rows; default: 0.5"""

    def reading(self) -> Reading:
        """Windows come from sources of their own; of a table, nothing."""
        return Reading()

    @property
    def smallest_window(self) -> int:
        """The shortest sequence that the network takes."""
        raise NotImplementedError

    def network(self, *, length: int, channels: int, classes: int) -> dict[str, Any]:
        """The settings of the network's factory in either framework, for (batch, length, channels) windows."""
        raise NotImplementedError

    def parameters(self, *, length: int, channels: int, classes: int) -> int:
        """How many trained ones that network has."""
        raise NotImplementedError

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the windows, never those of one event. Raises BadData for tables without windows, or short ones."""
        windows = table.columns.get(WINDOWS)
        if windows is None:
            raise BadData(
                f"{self.NETWORK} takes windows, and this source has none",
                where="data.source",
                hint="use time_series, events, samples, wide_samples, or npz with windows",
            )
        classes = classification.classes_of(table, positive=self.positive)
        decision_threshold.check(self.threshold, classes, training)
        if self.augmentation is not None:
            self.augmentation.check(classes, table.groups, self.unit)
        y, (train, validation, held_out) = classification.divide(table, training, classes=classes)
        before, inner = self._before(windows.shape[2])
        names = [inner]
        seen = classification.network_tensors(before, {WINDOWS: windows[train]}, names)
        length, channels = seen[inner].shape[1:]
        if length < self.smallest_window:
            raise BadData(
                f"the network needs at least {self.smallest_window} steps, a window has {length}",
                where=f"windows of {windows.shape[1]} samples",
                hint="take longer windows, resample them, or give fewer layers, model.filters",
            )
        x, y_train = seen[inner], y[train]
        if self.augmentation is not None:
            groups = None if table.groups is None else table.groups[train]

            def inner_of(raw: Array) -> Array:
                return classification.network_tensors(before, {WINDOWS: raw}, names)[inner]

            x, y_train = self._augmented(x, windows[train], y_train, groups, classes, inner_of, seed=training.seed)
        checked = classification.network_tensors(before, {WINDOWS: windows[validation]}, names)
        return Prepared(
            network=self.NETWORK,
            settings=self.network(length=length, channels=channels, classes=len(classes)),
            parameters=self.parameters(length=length, channels=channels, classes=len(classes)),
            loss="cross_entropy",
            train=classification.examples({inner: x}, y_train, classes, training),
            validation=classification.examples(checked, y[validation], classes, training),
            held_out={WINDOWS: windows[held_out]},
            target=y[held_out],
            groups=_events(table, held_out),
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
            factor = float(np.float32(IN_G[self.unit]))
            steps.append(Scale(input=last, output="in_g", offset=[0.0] * axes, factor=[factor] * axes))
            last = "in_g"
        if self.magnitude:
            steps.append(Magnitude(input=last, output="magnitude"))
            last = "magnitude"
        if self.normalise:
            steps.append(Standardise(input=last, output="normalised"))
            last = "normalised"
        if self.spectrogram:
            size, hop = self.spectrogram.window, self.spectrogram.hop
            steps.append(Spectrogram(input=last, output="spectrogram", window=size, hop=hop))
            last = "spectrogram"
        return steps, last

    def _augmented(
        self,
        x: Array,
        windows: Array,
        y: Array,
        groups: Array | None,
        classes: list[str],
        inner_of: Callable[[Array], Array],
        *,
        seed: int,
    ) -> tuple[Array, Array]:
        """The network's inputs of the raw training windows, and those of their changed copies."""
        chosen = self.augmentation
        assert chosen is not None
        generator = np.random.default_rng(seed)
        spread, xs, ys = x.std(axis=(0, 1), keepdims=True), [x], [y]
        for _ in range(chosen.copies):
            raw, of_copy = augmentation.raw_copies(
                chosen, windows, y, groups, classes=classes, unit=self.unit, generator=generator
            )
            xs.append(augmentation.turned(chosen, inner_of(raw), spread, generator))
            ys.append(of_copy)
        return np.concatenate(xs), np.concatenate(ys)

    def finish(self, prepared: Prepared, predict: Predict, *, title: str) -> Outcome:
        """The verdict by window and, where windows belong to events, by event (its most alarming window)."""
        threshold = self._threshold(prepared, predict)
        outcome = classification.outcome(prepared, predict, title=title, threshold=threshold)
        if prepared.groups is None or len(prepared.classes) != 2:
            return outcome
        names = [spec.name for spec in prepared.network_inputs]
        answers = predict(classification.network_tensors(prepared.before, prepared.held_out, names))
        steps = [step for step in outcome.after if isinstance(step, Softmax | Pick | Threshold)]
        said = apply(steps, {prepared.network_outputs[0].name: answers})
        flagged = said["probabilities"].argmax(axis=1) == 1 if threshold is None else said["is_positive"]
        events = np.unique(prepared.groups)
        truth_of = np.array([prepared.target[prepared.groups == event].max() == 1 for event in events])
        is_detected = np.array([flagged[prepared.groups == event].any() for event in events])
        by_event = {f"event_{name}": value for name, value in metrics.alarms(truth_of, is_detected).items()}
        alarms = np.array([flagged[prepared.groups == event].mean() for event in events])
        spread = {f"event_alarm_share_{name}": value for name, value in metrics.quantiles(alarms).items()}
        return replace(outcome, metrics={**outcome.metrics, "held_out_events": len(events), **by_event, **spread})

    def _threshold(self, prepared: Prepared, predict: Predict) -> float | None:
        """The one that the folds have settled, or that the validation rows choose."""
        if self.threshold is None or prepared.threshold is not None:
            return prepared.threshold
        answers = predict(prepared.validation.x)
        positive = losses.probabilities(prepared.loss, answers)[:, 1]
        return decision_threshold.choose(self.threshold, prepared.validation.y, positive)


def _events(table: Table, rows: Array) -> Array | None:
    """The event of each of the rows; None where there are groups of both labels, which are no events."""
    if table.events is not None:
        found: Array = table.events[rows]
        return found
    if table.groups is None or mixed_groups.are_mixed(table.groups, table.target):
        return None
    of_group: Array = table.groups[rows]
    return of_group

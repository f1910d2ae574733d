"""The anomaly autoencoder: trained to rebuild normal rows; what it rebuilds badly is an anomaly.

raw features → scaled to [0, 1] → 75 % → 50 % → 33 % → 25 % → 33 % → 50 % → 75 % of the width → rebuilt
score = mean squared error of a row; anomaly = score above the 95th percentile of the training rows' scores
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onnxpress.core.errors import BadData
from onnxpress.core.optional import require
from onnxpress.core.processing import MeanSquaredError, Processing, Scale, Threshold, apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.data.split import inverse, min_max, stratified

if TYPE_CHECKING:
    from onnxpress.training.data.sources import Table
    from onnxpress.training.recipe import Training

Array = np.ndarray[Any, np.dtype[Any]]
Predict = Callable[[Array], Array]


class Autoencoder(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="autoencoder"
):
    """The spec. `hidden` are shares of the input width, each at least one unit; ReLU after each, sigmoid at the end."""

    normal: str
    """the label whose rows are normal; every other label is an anomaly"""
    hidden: tuple[float, ...] = (0.75, 0.50, 0.33, 0.25, 0.33, 0.50, 0.75)
    dropout: float = 0.2
    """after the first and after the last hidden layer"""
    threshold_percentile: float = 95.0
    """of the training rows' scores"""

    def __post_init__(self) -> None:
        if not self.hidden or not all(share > 0 for share in self.hidden):
            raise ValueError("hidden needs at least one share, all positive")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must be in [0, 1)")
        if not 0 < self.threshold_percentile < 100:
            raise ValueError("threshold_percentile must lie between 0 and 100")

    def network(self, width: int) -> dict[str, Any]:
        """The settings of the network's factory in either framework, for `width` features."""
        return {
            "width": width,
            "hidden": [max(1, int(width * share)) for share in self.hidden],
            "dropout": self.dropout,
        }

    def parameters(self, width: int) -> int:
        """Weights and biases of the dense layers: the sum of (inputs + 1) x outputs."""
        sizes = [width, *self.network(width)["hidden"], width]
        return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the rows, fit the scaling. Raises BadData where there are no normal rows, or only normal ones."""
        known = sorted(set(table.labels.tolist()))
        if self.normal not in known or len(known) < 2:
            raise BadData(
                f"the normal label is {self.normal!r}, the rows are labelled {', '.join(known)}",
                hint="set model.normal to one of several labels",
            )
        seen, held_out = stratified(table.labels, training.held_out_share, seed=training.seed)
        normal = seen[table.labels[seen] == self.normal]
        shuffled = np.random.default_rng(training.seed).permutation(normal)
        validation_rows = max(1, round(len(normal) * training.validation_share))
        validation, train = np.sort(shuffled[:validation_rows]), np.sort(shuffled[validation_rows:])
        if len(train) < 2:
            raise BadData(f"{len(normal)} normal rows are too few to train on")
        scale = min_max(table.x[train], table.feature_names, raw="features", scaled="scaled")

        def scaled(rows: Array) -> Array:
            return scale.apply({"features": table.x[rows]}, "float32")

        return Prepared(
            spec=self,
            width=len(table.feature_names),
            scale=scale,
            train=scaled(train),
            validation=scaled(validation),
            held_out=table.x[held_out],
            held_out_is_anomaly=table.labels[held_out] != self.normal,
        )


@dataclass(frozen=True)
class Outcome:
    """What a fitted family adds to the run: its processing, its contract with callers, its figures."""

    processing: Processing
    outputs: list[TensorSpec]
    thresholds: dict[str, float]
    metrics: dict[str, float]
    scores: Array
    """of the held-out rows, for the picture"""


@dataclass(frozen=True)
class Prepared:
    """Rows ready for either framework's fit loop; `train` and `validation` are scaled float32 (rows, width)."""

    spec: Autoencoder
    width: int
    scale: Scale
    train: Array
    validation: Array
    held_out: Array
    held_out_is_anomaly: Array

    def inputs(self) -> list[TensorSpec]:
        """What callers send: raw features."""
        return [TensorSpec(name="features", dtype="float32", shape=("batch", self.width))]

    def network_specs(self) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Inputs and outputs of the bare network."""
        scaled, decoded = (
            TensorSpec(name=name, dtype="float32", shape=("batch", self.width)) for name in ("scaled", "decoded")
        )
        return [scaled], [decoded]

    def finish(self, predict: Predict) -> Outcome:
        """Set the threshold on the training rows and measure on the held-out ones. `predict`: scaled → decoded."""
        metrics = require("sklearn.metrics", needed_by="measuring the held-out rows")
        error = MeanSquaredError(input="decoded", target="scaled", output="score")
        train_scores = error.apply({"scaled": self.train, "decoded": predict(self.train)}, "float32")
        threshold = float(np.float32(np.percentile(train_scores, self.spec.threshold_percentile)))
        processing = Processing(
            before=[self.scale],
            after=[
                error,
                Threshold(input="score", output="is_anomaly", value=threshold),
                inverse(self.scale, input="decoded", output="reconstruction"),
            ],
        )
        tensors = apply(processing.before, {"features": self.held_out})
        tensors["decoded"] = predict(tensors["scaled"])
        tensors = apply(processing.after, tensors)
        truth, found = self.held_out_is_anomaly, tensors["is_anomaly"]
        return Outcome(
            processing=processing,
            outputs=[
                TensorSpec(name="reconstruction", dtype="float32", shape=("batch", self.width)),
                TensorSpec(name="score", dtype="float32", shape=("batch",)),
                TensorSpec(name="is_anomaly", dtype="bool", shape=("batch",)),
            ],
            thresholds={"is_anomaly": threshold},
            metrics={
                "roc_auc": float(metrics.roc_auc_score(truth, tensors["score"])),
                "detection_rate": float(found[truth].mean()),
                "false_alarm_rate": float(found[~truth].mean()),
                "threshold": threshold,
                "train_rows": len(self.train),
                "validation_rows": len(self.validation),
                "held_out_rows": len(self.held_out),
                "held_out_anomalies": int(truth.sum()),
            },
            scores=tensors["score"],
        )

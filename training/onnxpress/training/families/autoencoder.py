"""The anomaly autoencoder: trained to rebuild normal rows; what it rebuilds badly is an anomaly.

raw features → scaled to [0, 1] → 75 % → 50 % → 33 % → 25 % → 33 % → 50 % → 75 % of the width → rebuilt
score = mean squared error of a row; anomaly = score above the 95th percentile of the training rows' scores
"""

from __future__ import annotations

import itertools
import typing
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.optional import require
from onnxpress.core.processing import AnyOf, MeanSquaredError, Scale, Step, Threshold, apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.training import plots
from onnxpress.training.data import scaling, split
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.families import isolation_forest
from onnxpress.training.families.isolation_forest import ForestSettings
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.fitting import metrics
from onnxpress.training.fitting.loop import Examples
from onnxpress.training.settings import Training

_COMPANION = (
    TensorSpec(name="isolation_score", dtype="float32", shape=("batch",)),
    TensorSpec(name="is_isolated", dtype="bool", shape=("batch",)),
    TensorSpec(name="is_flagged", dtype="bool", shape=("batch",)),
)
_Share = Annotated[float, msgspec.Meta(gt=0, le=100)]


class Autoencoder(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="autoencoder"
):
    """The spec of the network, the same for both frameworks.

    Dense layers; ReLU after each hidden one, dropout after the first and the last hidden one, sigmoid at the end.
    Weights start Glorot uniform, biases at zero (Glorot and Bengio 2010: U(-a, a), a = sqrt(6 / (inputs + outputs))).
    """

    normal: str
    """the label whose rows are normal; every other label is an anomaly"""
    hidden: Annotated[tuple[_Share, ...], msgspec.Meta(min_length=1)] = (0.75, 0.50, 0.33, 0.25, 0.33, 0.50, 0.75)
    """units of each hidden layer as a share of the width, rounded down, at least one"""
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    """share of the values that dropout sets to zero in training"""
    threshold_percentile: Annotated[float, msgspec.Meta(gt=0, lt=100)] = 95.0
    """of the training rows' scores"""

    isolation_forest: ForestSettings | None = None
    """a companion grown on the same rows; either of the two raises `is_flagged`"""

    def reading(self) -> Reading:
        """Every column a number, none missing."""
        return Reading()

    def network(self, width: int) -> dict[str, typing.Any]:
        """The settings of the network's factory in either framework, for `width` features."""
        return {
            "width": width,
            "hidden": [max(1, int(width * share)) for share in self.hidden],
            "dropout": self.dropout,
        }

    def parameters(self, width: int) -> int:
        """Weights and biases of the dense layers: the sum of (inputs + 1) × outputs."""
        sizes = [width, *self.network(width)["hidden"], width]
        return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the rows, fit the scaling. Raises BadData where there are no normal rows, or only normal ones."""
        known = sorted(set(table.target.tolist()))
        if self.normal not in known or len(known) < 2:
            raise BadData(
                f"the normal label is {self.normal!r}, the rows are labelled {', '.join(known)}",
                where="model.normal",
                hint="name one of at least two labels",
            )
        is_anomaly, rows_x = table.target != self.normal, table.x
        seen, held_out = split.hold_out(np.arange(len(is_anomaly)), is_anomaly, training)
        train, validation = split.shuffled(seen[~is_anomaly[seen]], training.validation_share, seed=training.seed)
        scale = scaling.min_max(rows_x[train], table.feature_names, raw="features", scaled="scaled")

        def rebuild(rows: split.Rows) -> Examples:
            scaled = scale.apply({"features": rows_x[rows]}, "float32")
            return Examples({"scaled": scaled}, scaled)

        width = len(table.feature_names)
        features, scaled, decoded = (
            TensorSpec(name=name, dtype="float32", shape=("batch", width)) for name in ("features", "scaled", "decoded")
        )
        return Prepared(
            network="autoencoder",
            seed=training.seed,
            settings=self.network(width),
            parameters=self.parameters(width),
            train=rebuild(train),
            validation=rebuild(validation),
            held_out={"features": rows_x[held_out]},
            target=is_anomaly[held_out].astype(np.int64),
            before=[scale],
            inputs=[features],
            network_inputs=[scaled],
            network_outputs=[decoded],
        )

    def layers(self, names: Sequence[str], *, width: int) -> tuple[str, ...]:
        """The layers that `encoder`, `decoder` or their own names mean. Raises UsageError for one that is not there."""
        sizes = self.network(width)["hidden"]
        middle = sizes.index(min(sizes)) + 1
        own = [f"hidden_{number}" for number in range(len(sizes))] + ["rebuilt"]
        groups = {"encoder": own[:middle], "decoder": own[middle:]}
        layers: list[str] = []
        for name in names:
            if name not in groups and name not in own:
                raise UsageError(
                    f"there is no layer {name!r}", where="--only", hint=f"name encoder, decoder, {', '.join(own)}"
                )
            layers += groups.get(name, [name])
        return tuple(layers)

    def _after(self, prepared: Prepared, predict: Predict) -> list[Step]:
        error = MeanSquaredError(input="decoded", target="scaled", output="score")
        rows = prepared.train.x
        train_scores = error.apply({**rows, "decoded": predict(rows)}, "float32")
        # Rounded to float32: the graph, the numpy form and the float64 truth must compare with the very same number.
        threshold = float(np.float32(np.percentile(train_scores, self.threshold_percentile)))
        (scale,) = prepared.before
        assert isinstance(scale, Scale)
        steps: list[Step] = [
            error,
            Threshold(input="score", output="is_anomaly", value=threshold),
            scaling.inverse(scale, input="decoded", output="reconstruction"),
        ]
        return steps + self._companion(rows["scaled"], seed=prepared.seed)

    def _companion(self, scaled: Array, *, seed: int) -> list[Step]:
        if self.isolation_forest is None:
            return []
        forest = isolation_forest.grown(
            self.isolation_forest, scaled, seed=seed, name="scaled", output="isolation_score"
        )
        scores = forest.apply({"scaled": scaled}, "float32")
        threshold = float(np.float32(np.percentile(scores, self.threshold_percentile)))
        return [
            forest,
            Threshold(input="isolation_score", output="is_isolated", value=threshold),
            AnyOf(inputs=["is_anomaly", "is_isolated"], output="is_flagged"),
        ]

    def finish(self, prepared: Prepared, predict: Predict, *, title: str, after: list[Step] | None = None) -> Outcome:
        """Set the threshold on the training rows (or take the steps `after`), and measure on the held-out ones."""
        sklearn = require("sklearn.metrics", needed_by="measuring the held-out rows")
        after = after or self._after(prepared, predict)
        threshold = next(step.value for step in after if isinstance(step, Threshold))
        tensors = apply(prepared.before, prepared.held_out)
        tensors = apply(after, tensors | {"decoded": predict({"scaled": tensors["scaled"]})})
        truth, flagged, score = prepared.target.astype(bool), tensors["is_anomaly"], tensors["score"]
        roc_auc = float(sklearn.roc_auc_score(truth, score))
        width = prepared.settings["width"]
        return Outcome(
            after=after,
            outputs=[
                TensorSpec(name="reconstruction", dtype="float32", shape=("batch", width)),
                TensorSpec(name="score", dtype="float32", shape=("batch",)),
                TensorSpec(name="is_anomaly", dtype="bool", shape=("batch",)),
                *(_COMPANION if self.isolation_forest else ()),
            ],
            thresholds={step.output: step.value for step in after if isinstance(step, Threshold)},
            metrics={
                **self._companion_figures(truth, tensors),
                "roc_auc": roc_auc,
                "detection_rate": float(sklearn.recall_score(truth, flagged)),
                "false_alarm_rate": 1 - float(sklearn.recall_score(truth, flagged, pos_label=False)),
                "threshold": threshold,
                "held_out_anomalies": int(truth.sum()),
            },
            plots={
                "scores.png": plots.score_histogram(
                    score, truth, threshold, title=f"{title}: held-out rows, ROC AUC {roc_auc:.3f}"
                ),
                "curves.png": plots.curves(
                    {
                        name: (truth, tensors[scores])
                        for name, scores in {"autoencoder": "score", "isolation forest": "isolation_score"}.items()
                        if scores in tensors
                    },
                    title=f"{title}: held-out rows",
                ),
            },
        )

    def _companion_figures(self, truth: Array, tensors: dict[str, Array]) -> dict[str, float]:
        if self.isolation_forest is None:
            return {}
        sklearn = require("sklearn.metrics", needed_by="measuring the held-out rows")
        either = metrics.alarms(truth, tensors["is_flagged"])
        return {
            "isolation_roc_auc": float(sklearn.roc_auc_score(truth, tensors["isolation_score"])),
            "flagged_detection_rate": either["recall"],
            "flagged_false_alarm_rate": either["false_alarm_rate"],
        }

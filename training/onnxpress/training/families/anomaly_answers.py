"""What the autoencoder and its companion answer, and what that is worth on held-out rows."""

from __future__ import annotations

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.optional import require
from onnxpress.core.processing import Step, Threshold, apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.training import plots
from onnxpress.training.families.anomaly_columns import SCALED
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.fitting import metrics

_KINDS = {"isolation_score": "float32", "is_isolated": "bool", "combined_score": "float32", "is_flagged": "bool"}
TENSORS = frozenset({"decoded", "score", "is_anomaly", "reconstruction"})
"""that stand behind the network"""
OF_COMPANION = frozenset(_KINDS)
"""and those behind the forest"""


def measured(prepared: Prepared, predict: Predict, after: list[Step], *, weighted: bool, title: str) -> Outcome:
    """The held-out rows' verdict; without labels, how many of them are flagged and nothing more."""
    tensors = answered(prepared, predict, after, prepared.held_out)
    thresholds = {step.output: step.value for step in after if isinstance(step, Threshold)}
    threshold, score = thresholds["is_anomaly"], tensors["score"]
    figures: dict[str, float] = {"threshold": threshold, "flagged_share": float(tensors["is_anomaly"].mean())}
    truth = prepared.target.astype(bool)
    pictures = {}
    if prepared.labelled:
        sklearn = require("sklearn.metrics", needed_by="measuring the held-out rows")
        roc_auc = float(sklearn.roc_auc_score(truth, score))
        figures = {
            **_companion(truth, tensors, weighted=weighted),
            "roc_auc": roc_auc,
            "detection_rate": float(sklearn.recall_score(truth, tensors["is_anomaly"])),
            "false_alarm_rate": 1 - float(sklearn.recall_score(truth, tensors["is_anomaly"], pos_label=False)),
            "threshold": threshold,
            "held_out_anomalies": int(truth.sum()),
        }
        named = {"autoencoder": "score", "isolation forest": "isolation_score", "both": "combined_score"}
        sides = {name: (truth, tensors[scores]) for name, scores in named.items() if scores in tensors}
        pictures["curves.png"] = plots.curves(sides, title=f"{title}: held-out rows")
        title = f"{title}: held-out rows, ROC AUC {roc_auc:.3f}"
    elif "is_flagged" in tensors:
        figures["combined_flagged_share"] = float(tensors["is_flagged"].mean())
    width = prepared.settings["width"]
    return Outcome(
        after=after,
        outputs=[
            TensorSpec(name="reconstruction", dtype="float32", shape=("batch", width)),
            TensorSpec(name="score", dtype="float32", shape=("batch",)),
            TensorSpec(name="is_anomaly", dtype="bool", shape=("batch",)),
            *(
                TensorSpec(name=name, dtype=dtype, shape=("batch",))
                for name, dtype in _KINDS.items()
                if name in tensors
            ),
        ],
        thresholds=thresholds,
        metrics=figures,
        plots={
            "scores.png": plots.score_histogram(score, truth if prepared.labelled else None, threshold, title=title),
            **pictures,
        },
    )


def answered(prepared: Prepared, predict: Predict, after: list[Step], raw: dict[str, Array]) -> dict[str, Array]:
    """Every tensor of raw rows, from the scaled ones to the flags."""
    tensors = apply(prepared.before, raw)
    return apply(after, {**tensors, "decoded": predict({SCALED: np.ascontiguousarray(tensors[SCALED])})})


def _companion(truth: Array, tensors: dict[str, Array], *, weighted: bool) -> dict[str, float]:
    if "isolation_score" not in tensors:
        return {}
    sklearn = require("sklearn.metrics", needed_by="measuring the held-out rows")
    together = metrics.alarms(truth, tensors["is_flagged"])
    figures = {
        "isolation_roc_auc": float(sklearn.roc_auc_score(truth, tensors["isolation_score"])),
        "flagged_detection_rate": together["recall"],
        "flagged_false_alarm_rate": together["false_alarm_rate"],
    }
    if weighted:
        figures["combined_roc_auc"] = float(sklearn.roc_auc_score(truth, tensors["combined_score"]))
    return figures

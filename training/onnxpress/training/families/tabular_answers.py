"""What stands behind the tabular network: a calibrated probability of two classes, of several, or a value."""

from __future__ import annotations

from typing import Literal

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing import (
    BinaryLabel,
    Label,
    Sigmoid,
    Softmax,
    Squeeze,
    Step,
    Threshold,
    Unscale,
    apply,
)
from onnxpress.core.tensors import TensorSpec
from onnxpress.training import plots
from onnxpress.training.families import calibration, classification
from onnxpress.training.families.prepared import Outcome, Prepared
from onnxpress.training.fitting import metrics


def network_output(classes: int, regress: bool) -> str:
    """The name of the network's own output: `logit` is what callers receive, so the column of two classes is not."""
    return "scaled_value" if regress else "logit" if classes > 2 else "logits"


def names(classes: int) -> frozenset[str]:
    """The tensors that stand behind a network of so many classes; 0: it says a value."""
    if not classes:
        return frozenset({"scaled_value", "values", "value"})
    common = {"logit", "probability", "probability_calibrated", "prediction"}
    return frozenset(common | ({"logits", "is_positive"} if classes == 2 else {"scaled_logit"}))


def unit(y: Array) -> Unscale:
    """How a value of standard deviation 1 becomes one in the target's unit, fitted on the training rows (rows,)."""
    spread = float(y.std(dtype=np.float64))
    offset, factor = (float(np.float32(part)) for part in (y.mean(dtype=np.float64), spread if spread > 0 else 1.0))
    return Unscale(input="scaled_value", output="values", offset=[offset], unit=[factor])


def value(prepared: Prepared, outputs: Array, *, title: str) -> Outcome:
    """A regression: `value` (batch,) in the target's unit."""
    assert prepared.unit is not None
    after: list[Step] = [prepared.unit, Squeeze(input="values", output="value")]
    predicted = apply(after, {"scaled_value": outputs})["value"].astype(np.float64)
    figures = metrics.regression(prepared.target, predicted)
    absolute = metrics.quantiles(np.abs(predicted - prepared.target))
    return Outcome(
        after=after,
        outputs=[_spec("value")],
        metrics=figures | {f"absolute_error_{name}": error for name, error in absolute.items()},
        plots={
            "values.png": plots.predicted_values(
                prepared.target,
                predicted,
                title=f"{title}: held-out rows, R² {figures['r2']:.3f}",
                of=prepared.target_name,
            )
        },
    )


def binary(
    prepared: Prepared, seen: Array, outputs: Array, method: Literal["platt", "isotonic"], *, title: str
) -> Outcome:
    """Two classes: `logit`, `probability` and `probability_calibrated` of the second one, and the `prediction`.

    `seen` are the logits of the validation rows, `outputs` of the held-out ones, both (rows, 1).
    """
    truth = prepared.validation.y[:, 0]
    after: list[Step] = [
        Squeeze(input="logits", output="logit"),
        Sigmoid(input="logit", output="probability"),
        calibration.binary(method, seen[:, 0], truth, input="logit", output="probability_calibrated"),
        Threshold(input="logit", output="is_positive", value=0.0),
        BinaryLabel(input="is_positive", output="prediction", labels=prepared.classes),
    ]
    tensors = apply(after, {"logits": outputs})
    plain, calibrated = (_both(tensors[name]) for name in ("probability", "probability_calibrated"))
    return Outcome(
        after=after,
        outputs=[_spec("logit"), _spec("probability"), _spec("probability_calibrated"), _spec("prediction", "string")],
        metrics=_classified(prepared.target, plain, calibrated),
        plots=classification.pictures(prepared.target, plain, prepared.classes, title=title),
        tables=classification.tables(prepared.target, plain, prepared.classes),
    )


def several(prepared: Prepared, seen: Array, outputs: Array, *, title: str) -> Outcome:
    """More classes: `logit`, `probability` and `probability_calibrated` (batch, classes), and the `prediction`."""
    count = len(prepared.classes)
    after: list[Step] = [
        Softmax(input="logit", output="probability"),
        calibration.temperature(seen, prepared.validation.y, input="logit", output="scaled_logit"),
        Softmax(input="scaled_logit", output="probability_calibrated"),
        Label(input="logit", output="prediction", labels=prepared.classes),
    ]
    tensors = apply(after, {"logit": outputs})
    plain, calibrated = (tensors[name].astype(np.float64) for name in ("probability", "probability_calibrated"))
    return Outcome(
        after=after,
        outputs=[
            *(
                TensorSpec(name=name, dtype="float32", shape=("batch", count))
                for name in ("logit", "probability", "probability_calibrated")
            ),
            _spec("prediction", "string"),
        ],
        labels=dict.fromkeys(("logit", "probability", "probability_calibrated"), prepared.classes),
        metrics=_classified(prepared.target, plain, calibrated),
        plots=classification.pictures(prepared.target, plain, prepared.classes, title=title),
        tables=classification.tables(prepared.target, plain, prepared.classes),
    )


def _classified(truth: Array, plain: Array, calibrated: Array) -> dict[str, float]:
    after = {"calibrated_calibration_error": metrics.calibration_error(truth, calibrated)}
    return metrics.classification(truth, plain) | after


def _both(positive: Array) -> Array:
    """(rows,) probability of class 1 → (rows, 2) in float64."""
    wide = positive.astype(np.float64)
    result: Array = np.stack([1 - wide, wide], axis=1)
    return result


def _spec(name: str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=("batch",))

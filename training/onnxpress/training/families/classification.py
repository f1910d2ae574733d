"""What the classifying families share: labels as numbers, weights of rows, and the verdict on held-out rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.processing import (
    BinaryLabel,
    Label,
    Maximum,
    Pick,
    Sigmoid,
    Softmax,
    Squeeze,
    Step,
    Threshold,
    apply,
)
from onnxpress.core.tensors import TensorSpec
from onnxpress.training import plots
from onnxpress.training.data import split
from onnxpress.training.data.table import Table
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.fitting import metrics
from onnxpress.training.fitting.loop import Examples, Inputs
from onnxpress.training.settings import Training


def classes_of(table: Table, *, positive: str | None = None) -> list[str]:
    """The labels in alphabetical order, or with `positive` last where there are two.

    Raises BadData where there is one label only, or the positive one is not there.
    """
    if not table.labelled:
        raise BadData("the rows have no labels", where="data.target", hint="name the column of labels")
    known = sorted(set(table.target.tolist()))
    if len(known) < 2:
        raise BadData(f"every row is labelled {known[0]!r}", where="the target", hint="give rows of at least two")
    if positive is None:
        return known
    if positive not in known or len(known) != 2:
        raise BadData(
            f"the positive label is {positive!r}, the rows are labelled {', '.join(known[:10])}",
            where="model.positive",
            hint="it names one of two labels",
        )
    return [label for label in known if label != positive] + [positive]


def numbers_of(labels: Array, classes: list[str]) -> Array:
    """(rows,) labels → (rows,) int64 of their places in `classes`."""
    order = np.argsort(classes)
    numbers: Array = order[np.searchsorted(np.asarray(classes)[order], labels)].astype(np.int64)
    return numbers


def row_weights(y: Array, classes: list[str], training: Training) -> Array | None:
    """(rows,) float32 by class, or None where all count alike. Raises BadData for a weight of an unknown label."""
    chosen = training.class_weights
    if chosen is None:
        return None
    if isinstance(chosen, dict):
        unknown = sorted(chosen.keys() - set(classes))
        if unknown:
            raise BadData(
                f"there is no label {unknown[0]!r}", where="training.class_weights", hint=f"it may be: {classes}"
            )
        by_class = np.array([chosen.get(label, 1.0) for label in classes], np.float32)
    else:
        by_class = (len(y) / (len(classes) * np.maximum(1, np.bincount(y, minlength=len(classes))))).astype(np.float32)
    weights: Array = by_class[y]
    return weights


def divide(table: Table, training: Training, *, classes: list[str]) -> tuple[Array, list[split.Rows]]:
    """(rows,) class numbers, and the row numbers to train on, to validate on, and held out.

    Rows to train on come again where the table is to be oversampled, each class as often as the largest.
    """
    y = numbers_of(table.target, classes)
    train, validation, held_out = split.parts(table.target, training, rows=len(y), groups=table.groups)
    if table.oversample:
        most = np.bincount(y[train]).max()
        train = np.sort(np.concatenate([np.resize(train[y[train] == kind], most) for kind in np.unique(y[train])]))
    return y, [train, validation, held_out]


def examples(x: Inputs, y: Array, classes: list[str], training: Training) -> Examples:
    """Rows for the cross-entropy, weighted as the recipe says."""
    return Examples(x, y, row_weights(y, classes, training))


def network_tensors(before: list[Step], raw: Mapping[str, Array], names: list[str]) -> Inputs:
    """The network's inputs of raw rows."""
    tensors = apply(before, dict(raw))
    return {name: tensors[name] for name in names}


def outcome(prepared: Prepared, predict: Predict, *, title: str, threshold: float | None = None) -> Outcome:
    """Behind logits (batch, classes): `probabilities`, the `prediction` as a label, and its `confidence`.

    A network that answers `probabilities` itself gets no second softmax. With a `threshold`, exact in float32, the
    second of two classes is said where its `probability` is above; that stands in place of the confidence.
    """
    classes = prepared.classes
    answer = prepared.learnt.name
    after: list[Step] = [] if answer == "probabilities" else [Softmax(input=answer, output="probabilities")]
    if threshold is None:
        after += [
            Label(input="probabilities", output="prediction", labels=classes),
            Maximum(input="probabilities", output="confidence"),
        ]
    else:
        after += [
            Pick(input="probabilities", output="probability", column=1),
            Threshold(input="probability", output="is_positive", value=threshold),
            BinaryLabel(input="is_positive", output="prediction", labels=classes),
        ]
    x = network_tensors(prepared.before, prepared.held_out, [spec.name for spec in prepared.network_inputs])
    tensors = apply(after, {answer: predict(x)})
    probabilities = tensors["probabilities"].astype(np.float64)
    predicted = probabilities.argmax(axis=1) if threshold is None else tensors["is_positive"].astype(int)
    figures = metrics.classification(prepared.target, probabilities, predicted)
    return Outcome(
        after=after,
        outputs=[
            TensorSpec(name="probabilities", dtype="float32", shape=("batch", len(classes))),
            TensorSpec(name="prediction", dtype="string", shape=("batch",)),
            TensorSpec(name="confidence" if threshold is None else "probability", dtype="float32", shape=("batch",)),
        ],
        thresholds={} if threshold is None else {"is_positive": threshold},
        labels={"probabilities": classes},
        metrics=figures if threshold is None else figures | {"threshold": threshold},
        plots=pictures(prepared.target, probabilities, classes, title=title, predicted=predicted),
        tables=tables(prepared.target, probabilities, classes, predicted=predicted),
    )


def single(prepared: Prepared, predict: Predict, *, title: str) -> Outcome:
    """Behind one logit or probability (batch, 1): `probability` of the second class, and the `prediction`."""
    answer = prepared.learnt.name
    decided = "probability" if answer == "probabilities" else "logit"
    after: list[Step] = [Squeeze(input=answer, output=decided)]
    if decided == "logit":
        after.append(Sigmoid(input="logit", output="probability"))
    after += [
        Threshold(input=decided, output="is_positive", value=0.5 if decided == "probability" else 0.0),
        BinaryLabel(input="is_positive", output="prediction", labels=prepared.classes),
    ]
    x = network_tensors(prepared.before, prepared.held_out, [spec.name for spec in prepared.network_inputs])
    positive = apply(after, {answer: predict(x)})["probability"].astype(np.float64)
    both = np.stack([1 - positive, positive], axis=1)
    return Outcome(
        after=after,
        outputs=[
            TensorSpec(name="probability", dtype="float32", shape=("batch",)),
            TensorSpec(name="prediction", dtype="string", shape=("batch",)),
        ],
        metrics=metrics.classification(prepared.target, both),
        plots=pictures(prepared.target, both, prepared.classes, title=title),
        tables=tables(prepared.target, both, prepared.classes),
    )


def tables(truth: Array, probabilities: Array, classes: list[str], *, predicted: Array | None = None) -> dict[str, Any]:
    """The confusion matrix of held-out rows in numbers: a row for each true label, a column for each predicted one."""
    said = probabilities.argmax(axis=1) if predicted is None else predicted
    counts = metrics.confusion(truth, said, classes=len(classes))
    return {"confusion.json": {"labels": classes, "counts": counts.tolist()}}


def pictures(
    truth: Array, probabilities: Array, classes: list[str], *, title: str, predicted: Array | None = None
) -> dict[str, object]:
    """The confusion matrix, the reliability diagram, and the ROC and precision-recall curves of held-out rows."""
    predicted = probabilities.argmax(axis=1) if predicted is None else predicted
    figures = metrics.classification(truth, probabilities, predicted)
    numbers = [1] if len(classes) == 2 else range(len(classes))
    sides = {classes[number]: (truth == number, probabilities[:, number]) for number in numbers}
    return {
        "confusion.png": plots.confusion(
            truth, predicted, classes, title=f"{title}: held-out rows, accuracy {figures['accuracy']:.3f}"
        ),
        "reliability.png": plots.reliability(
            truth,
            probabilities,
            title=f"{title}: calibration error {figures['calibration_error']:.3f}",
        ),
        "curves.png": plots.curves(sides, title=f"{title}: held-out rows"),
    }

"""The tabular network: raw columns, strings included, to a calibrated probability, a class or a value.

numbers → imputed → scaled, categories → embedded or one-hot; side by side → dense layers → logit
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.processing import (
    Concatenate,
    Impute,
    Lookup,
    OneHot,
    Scale,
    Stack,
    Step,
)
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.training.data import split
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.families import classification, dependence, importance
from onnxpress.training.families import tabular_answers as answers
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.families.sizes import dense_parameters, embedding_width
from onnxpress.training.fitting.loop import Examples
from onnxpress.training.settings import Training

_Units = Annotated[int, msgspec.Meta(ge=1, le=65536)]
_Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Action = Literal["scale", "embed", "onehot", "drop"]
_NUMBERS = frozenset({"raw_numbers", "whole_numbers", "scaled_numbers", "numbers", "categories"})


def tensors(classes: int) -> frozenset[str]:
    """What the steps around a network of so many classes (0: it says a value) make; no column may be called so."""
    return _NUMBERS | answers.names(classes)


class Tabular(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="tabular"):
    """The spec of the network, the same for both frameworks.

    Numbers are imputed with the training rows' median and scaled to mean 0 and standard deviation 1. A category that
    the training rows do not have, or none, is the unknown one, which has an id of its own. An embedding of n values is
    min(50, (n + 1) // 2) wide, at least 2. Dense layers with ReLU and dropout.
    """

    columns: dict[str, Action]
    """what is done with each column; `drop`, like a column that is not named, is left alone"""
    task: Literal["classify", "regress"] = "classify"
    """tell classes, or say a number"""
    hidden: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (64, 32)
    """units of each hidden layer"""
    dropout: _Rate = 0.1
    """share of the values that dropout sets to zero in training"""
    positive: str | None = None
    """of two labels, the one whose probability is given"""
    calibration: Literal["platt", "isotonic"] = "platt"
    """fitted on the validation rows; with more than two classes a temperature, Platt's scaling of all at once"""

    def __post_init__(self) -> None:
        if not set(self.columns.values()) - {"drop"}:
            raise ValueError("name at least one column")

    def _named(self, *actions: Action) -> list[str]:
        return [name for name, action in self.columns.items() if action in actions]

    def reading(self) -> Reading:
        """The columns by their action; values may be missing."""
        target: Literal["label", "number"] = "number" if self.task == "regress" else "label"
        return Reading(
            numbers=tuple(self._named("scale")),
            texts=tuple(self._named("embed", "onehot")),
            dropped=tuple(self._named("drop")),
            missing=True,
            target=target,
        )

    def parameters(self, settings: dict[str, Any]) -> int:
        """Embeddings values × width each, dense layers (inputs + 1) × units."""
        total = sum(size * width for size, width in settings["embeddings"])
        inputs = settings["width"] + sum(width for _, width in settings["embeddings"])
        return total + dense_parameters(inputs, *settings["hidden"], settings["outputs"])

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the rows; fit medians, scales and vocabularies on the training rows alone."""
        regress = self.task == "regress"
        classes = [] if regress else classification.classes_of(table, positive=self.positive)
        if regress:
            y = table.target.astype(np.float32)
            train, validation, held_out = split.parts(None, training, rows=len(y))
        else:
            y, (train, validation, held_out) = classification.divide(table, training, classes=classes)
        before, names, sizes = self._before(table, train)
        outputs = 1 if len(classes) <= 2 else len(classes)
        width = sum(size + 1 for size in sizes["onehot"].values()) + len(self._named("scale"))
        embeddings = [[size + 1, embedding_width(size + 1)] for size in sizes["embed"].values()]
        settings = {
            "width": width,
            "embeddings": embeddings,
            "hidden": list(self.hidden),
            "dropout": self.dropout,
            "outputs": outputs,
        }
        unit = answers.unit(y[train]) if regress else None

        def rows(part: Array) -> Examples:
            x = classification.network_tensors(before, {n: c[part] for n, c in table.columns.items()}, names)
            if unit is not None:
                return Examples(x, ((y[part] - unit.offset[0]) / unit.unit[0]).astype(np.float32)[:, None])
            weight = classification.row_weights(y[part], classes, training)
            return Examples(x, y[part].astype(np.float32)[:, None] if outputs == 1 else y[part], weight)

        shapes: dict[str, tuple[str, tuple[int | str, ...]]] = {
            "numbers": ("float32", ("batch", width)),
            "categories": ("int64", ("batch", len(embeddings))),
        }
        return Prepared(
            network="tabular",
            settings=settings,
            parameters=self.parameters(settings),
            loss="mean_squared_error" if regress else "binary_cross_entropy" if outputs == 1 else "cross_entropy",
            train=rows(train),
            validation=rows(validation),
            held_out={name: column[held_out] for name, column in table.columns.items()},
            target=y[held_out],
            target_name=table.target_name,
            classes=classes,
            before=before,
            inputs=[self._input(name, column[train]) for name, column in table.columns.items()],
            network_inputs=[TensorSpec(name=name, dtype=shapes[name][0], shape=shapes[name][1]) for name in names],
            network_outputs=[
                TensorSpec(
                    name=answers.network_output(len(classes), regress), dtype="float32", shape=("batch", outputs)
                )
            ],
            unit=unit,
            answers=answers.names(len(classes)),
        )

    def _input(self, name: str, column: Array) -> TensorSpec:
        if self.columns[name] == "scale":
            return TensorSpec(name=name, dtype="float32", shape=("batch",))
        return TensorSpec(name=name, dtype="string", shape=("batch",), domain=Domain(values=sorted(set(column))))

    def _before(self, table: Table, train: split.Rows) -> tuple[list[Step], list[str], dict[str, dict[str, int]]]:
        """The steps, the network's inputs that they make, and each category column's number of known values."""
        steps: list[Step] = []
        sides: list[str] = []
        sizes: dict[str, dict[str, int]] = {"embed": {}, "onehot": {}}
        numeric = self._named("scale")
        if numeric:
            seen = np.stack([table.columns[name][train] for name in numeric], axis=1)
            median, offset, factor = _fitted(seen, numeric)
            steps += [
                Stack(inputs=numeric, output="raw_numbers"),
                Impute(input="raw_numbers", output="whole_numbers", values=median),
                Scale(input="whole_numbers", output="scaled_numbers", offset=offset, factor=factor),
            ]
            sides.append("scaled_numbers")
        for name in self._named("embed", "onehot"):
            known = sorted(set(table.columns[name][train]) - {""})
            if not known:
                raise BadData("has no value in the training rows", where=f"column {name!r}", hint="leave it out")
            steps.append(Lookup(input=name, output=f"{name}/id", values=known))
            sizes[self.columns[name]][name] = len(known)
            if self.columns[name] == "onehot":
                steps.append(OneHot(input=f"{name}/id", output=f"{name}/onehot", size=len(known) + 1))
                sides.append(f"{name}/onehot")
        names = []
        if sides:
            steps.append(Concatenate(inputs=sides, output="numbers"))
            names.append("numbers")
        if sizes["embed"]:
            steps.append(Stack(inputs=[f"{name}/id" for name in sizes["embed"]], output="categories"))
            names.append("categories")
        return steps, names, sizes

    def finish(self, prepared: Prepared, predict: Predict, *, title: str) -> Outcome:
        """Calibrate on the validation rows, and measure on the held-out ones."""
        names = [spec.name for spec in prepared.network_inputs]
        outputs = predict(classification.network_tensors(prepared.before, prepared.held_out, names))
        if self.task == "regress":
            outcome = answers.value(prepared, outputs, title=title)
        elif len(prepared.classes) == 2:
            outcome = answers.binary(prepared, predict(prepared.validation.x), outputs, self.calibration, title=title)
        else:
            outcome = answers.several(prepared, predict(prepared.validation.x), outputs, title=title)
        means, spreads = importance.permuted(prepared, predict)
        outcome = importance.added(outcome, means, spreads, title=title)
        return dependence.added(outcome, prepared, predict, importance=means, title=title)


def _fitted(seen: Array, names: list[str]) -> tuple[list[float], list[float], list[float]]:
    """Median, mean and 1 / standard deviation of each column of (rows, columns), a missing value being NaN."""
    empty = [name for name, column in zip(names, seen.T, strict=True) if np.isnan(column).all()]
    if empty:
        raise BadData("has no value in the training rows", where=f"column {empty[0]!r}", hint="leave it out")
    median = np.nanmedian(seen, axis=0)
    whole = np.where(np.isnan(seen), median, seen).astype(np.float64)
    spread = whole.std(axis=0)
    factor = 1 / np.where(spread > 0, spread, 1.0)
    exact = [part.astype(np.float32).astype(np.float64).tolist() for part in (median, whole.mean(axis=0), factor)]
    return exact[0], exact[1], exact[2]

"""A user's own network: whatever a factory in their own code builds, in either framework."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from onnxpress.core.dotted import load
from onnxpress.core.errors import UsageError
from onnxpress.core.processing import Step
from onnxpress.core.run import Framework
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.data import scaling, split
from onnxpress.training.data.table import Array, Reading, Table
from onnxpress.training.families import classification
from onnxpress.training.families import tabular_answers as answers
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.fitting import Examples
from onnxpress.training.settings import Training


class Own(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="own"):
    """`build` is called with `settings` and returns a torch module or a Keras model.

    The network takes one float32 tensor, (batch, columns) or what the source has (windows, vectors), and answers
    logits (batch, classes), or (batch, 1) of a value. In a recipe `model: my_pkg.nets:build` is short for it.
    """

    build: str
    settings: dict[str, Any] = {}
    task: Literal["classify", "regress"] = "classify"
    scale: bool = True
    """columns of numbers to [0, 1] by the training rows, in the graph"""

    def framework(self) -> Framework:
        """The framework of what `build` returns, told by its class's ancestry. Raises UsageError for neither."""
        network = load(self.build)(**self.settings)
        for ancestor in type(network).__mro__:
            package = ancestor.__module__.partition(".")[0]
            if ancestor.__name__ == "Module" and package == "torch":
                return "pytorch"
            if ancestor.__name__ == "Model" and package == "keras":
                return "tensorflow"
        raise UsageError(
            f"it returned {type(network).__name__}, which is no torch module or Keras model",
            where=self.build,
            hint="return the network that is to be trained",
        )

    def reading(self) -> Reading:
        """Every column a number, none missing."""
        return Reading(target="number" if self.task == "regress" else "label")

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the rows and fit the scaling. Raises BadData for rows that do not fit."""
        regress = self.task == "regress"
        classes = [] if regress else classification.classes_of(table)
        y = table.target.astype(np.float32) if regress else classification.numbers_of(table.target, classes)
        kinds = None if regress else table.target
        train, validation, held_out = split.parts(kinds, training, rows=len(y), groups=table.groups)
        wide = [name for name, column in table.columns.items() if column.ndim > 1]
        public = wide[0] if wide else "features"
        raw = table.columns[public] if wide else table.x
        before: list[Step] = []
        if self.scale and not wide:
            before = [scaling.min_max(raw[train], table.feature_names, raw="features", scaled="scaled")]
        inner = "scaled" if before else public
        unit = answers.unit(y[train]) if regress else None

        def rows(part: Array) -> Examples:
            x = classification.network_tensors(before, {public: raw[part]}, [inner])
            if unit is not None:
                return Examples(x, ((y[part] - unit.offset[0]) / unit.unit[0]).astype(np.float32)[:, None])
            return classification.examples(x, y[part], classes, training)

        shape = ("batch", *raw.shape[1:])
        return Prepared(
            network=self.build,
            settings=self.settings,
            parameters=None,
            loss="mean_squared_error" if regress else "cross_entropy",
            train=rows(train),
            validation=rows(validation),
            held_out={public: raw[held_out]},
            target=y[held_out],
            groups=None if table.groups is None else table.groups[held_out],
            classes=classes,
            before=before,
            inputs=[TensorSpec(name=public, dtype="float32", shape=shape)],
            network_inputs=[TensorSpec(name=inner, dtype="float32", shape=shape)],
            network_outputs=[
                TensorSpec(
                    name="scaled_value" if regress else "logits",
                    dtype="float32",
                    shape=("batch", 1 if regress else len(classes)),
                )
            ],
            unit=unit,
        )

    def finish(self, prepared: Prepared, predict: Predict, *, title: str) -> Outcome:
        """Probabilities, label and confidence, or the value, measured on the held-out rows."""
        if self.task == "classify":
            return classification.outcome(prepared, predict, title=title)
        names = [spec.name for spec in prepared.network_inputs]
        outputs = predict(classification.network_tensors(prepared.before, prepared.held_out, names))
        return answers.value(prepared, outputs, title=title)

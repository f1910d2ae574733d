"""A user's own network: whatever a factory in their own code builds, in either framework."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.dotted import load_factory
from onnxpress.core.errors import BadData, BadModel, UsageError
from onnxpress.core.processing import Characters, Impute, Lookup, Step, Words, apply, raw_inputs
from onnxpress.core.run import Framework
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.training.data import scaling, split
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.families import classification
from onnxpress.training.families import tabular_answers as answers
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.fitting import losses
from onnxpress.training.fitting.loop import Examples, Inputs
from onnxpress.training.fitting.losses import Loss
from onnxpress.training.settings import Training

_ANSWERS = frozenset({"logits", "logit", "probabilities", "probability", "prediction", "confidence", "is_positive"})
"""the tensors behind a network that tells classes"""


class Own(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="own"):
    """`build` is called with `settings` and returns a torch module or a Keras model.

    The network takes one float32 tensor, (batch, columns) or what the source has (windows, vectors), or what the steps
    in `before` make; it answers logits or probabilities (batch, classes), of two classes also (batch, 1), or (batch, 1)
    of a value. In a recipe `model: my_pkg.nets:build` is short for it.
    """

    build: str
    """`module:attribute` of the factory; where it returns (model, example_inputs), the model counts"""
    settings: dict[str, Any] = {}
    """keywords that the factory is called with"""
    task: Literal["classify", "regress"] = "classify"
    """tell classes, or say a number"""
    scale: bool = True
    """columns of numbers to [0, 1] by the training rows, in the graph"""
    before: list[Step] = []
    """in place of `scale`: steps from the source's columns, by their names, to the network's inputs"""
    inputs: list[str] = []
    """the tensors that the network takes, in the order of its arguments or as the keys of the one dict that it takes;
    default: what the last of `before` makes"""
    answers: Literal["logits", "probabilities"] | None = None
    """what the network answers; default: told from its answers to some rows, before the fit. Of probabilities the loss
    is their own, and no second softmax is published"""

    outputs: list[str] = []
    """names of the tensors that the network returns, where it returns several: in the order of its tuple, or a dict's
    keys. One is `logits` or `probabilities`, and is learnt: of both the logits. All are published under their names"""

    def __post_init__(self) -> None:
        if self.outputs:
            self._check_outputs()
        if self.inputs and not self.before:
            raise ValueError("inputs names what the steps in before make; there are none")

    def _check_outputs(self) -> None:
        taken = {"prediction", "confidence", "probability", "logit", "is_positive"}
        twice = len(set(self.outputs)) != len(self.outputs)
        if twice or taken & set(self.outputs):
            raise ValueError(f"outputs have names of their own, and none of {', '.join(sorted(taken))}")
        if self.task == "regress" or self.answers is not None:
            raise ValueError("outputs are named where classes are told, and without answers")
        if not {"logits", "probabilities"} & set(self.outputs):
            raise ValueError("one of outputs is logits or probabilities: it is what is learnt")

    def framework(self) -> Framework:
        """The framework of what `build` returns, told by its class's ancestry. Raises UsageError for neither."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the author's module may be the first to import it
        network = load_factory(self.build)(**self.settings)
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
        """Every column a number, none missing; or the columns that the steps read, strings where they look them up."""
        target: Literal["number", "label"] = "number" if self.task == "regress" else "label"
        if not self.before:
            return Reading(target=target)
        read = raw_inputs(self.before)
        strings = {step.input for step in self.before if isinstance(step, Characters | Lookup | Words)}
        return Reading(
            numbers=tuple(name for name in read if name not in strings),
            texts=tuple(name for name in read if name in strings),
            missing=any(isinstance(step, Impute) for step in self.before),
            target=target,
        )

    def _described(self, table: Table) -> tuple[dict[str, Array], list[Step], list[str]]:
        """Raw columns, steps, and the names of the network's inputs. Raises BadData where they do not fit."""
        read = raw_inputs(self.before)
        absent = [name for name in read if name not in table.columns]
        if absent:
            raise BadData(
                f"a step reads {absent[0]!r}, which no step before it makes",
                where="model.before",
                hint=f"the source has: {', '.join(table.columns)}",
            )
        raw = {name: table.columns[name] for name in read}
        try:
            first = apply(self.before, {name: column[:1] for name, column in raw.items()})
        except (ValueError, TypeError, IndexError) as error:
            raise BadData(f"the steps fail on the first row: {error}", where="model.before") from error
        names = self.inputs or self.before[-1].makes
        unmade = [name for name in names if name not in first]
        if unmade:
            raise BadData(f"no step makes {unmade[0]!r}", where="model.inputs", hint=f"there is: {', '.join(first)}")
        return raw, self.before, names

    def _scaled(self, table: Table, train: Array) -> tuple[dict[str, Array], list[Step], list[str]]:
        """The same for the one tensor of the source, scaled or as it is."""
        wide = [name for name, column in table.columns.items() if column.ndim > 1]
        if not wide:
            raw = table.x
            if not self.scale:
                return {"features": raw}, [], ["features"]
            step = scaling.min_max(raw[train], table.feature_names, raw="features", scaled="scaled")
            return {"features": raw}, [step], ["scaled"]
        if table.columns[wide[0]].dtype != np.float32:
            raise BadData(
                f"{wide[0]} are {table.columns[wide[0]].dtype}",
                where="model.before",
                hint="turn them into the network's tensor by a step, for example {step: image, input: images, ...}",
            )
        return {wide[0]: table.columns[wide[0]]}, [], [wide[0]]

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the rows and fit the scaling. Raises BadData for rows that do not fit."""
        regress = self.task == "regress"
        classes = [] if regress else classification.classes_of(table)
        if regress:
            y = table.target.astype(np.float32)
            train, validation, held_out = split.parts(None, training, rows=len(y), groups=table.groups)
        else:
            y, (train, validation, held_out) = classification.divide(table, training, classes=classes)
        raw, before, names = self._described(table) if self.before else self._scaled(table, train)
        unit = answers.unit(y[train]) if regress else None

        def tensors(part: Array) -> Inputs:
            return classification.network_tensors(before, {name: column[part] for name, column in raw.items()}, names)

        def rows(part: Array) -> Examples:
            x = tensors(part)
            if unit is not None:
                return Examples(x, ((y[part] - unit.offset[0]) / unit.unit[0]).astype(np.float32)[:, None])
            return classification.examples(x, y[part], classes, training)

        first = tensors(train[:1])
        return Prepared(
            network=self.build,
            settings=self.settings,
            parameters=None,
            loss="mean_squared_error" if regress else "cross_entropy",
            train=rows(train),
            validation=rows(validation),
            held_out={name: column[held_out] for name, column in raw.items()},
            target=y[held_out],
            target_name=table.target_name,
            groups=None if table.groups is None else table.groups[held_out],
            classes=classes,
            before=before,
            inputs=[_spec(name, column[train[:64]]) for name, column in raw.items()],
            network_inputs=[_spec(name, column) for name, column in first.items()],
            network_outputs=[
                TensorSpec(
                    name="scaled_value" if regress else "logits",
                    dtype="float32",
                    shape=("batch", 1 if regress else len(classes)),
                )
            ],
            unit=unit,
            answers=answers.names(0) if regress else _ANSWERS,
        )

    def told(self, prepared: Prepared, asked: Callable[[Inputs], Array], last_layer: str) -> tuple[Prepared, str]:
        """The same rows for what the network answers, and that in words; `last_layer` is the kind of its last one.

        Raises BadModel where the answer's shape does not fit the rows, or probabilities are promised and are none.
        """
        few = {name: part[:64] for name, part in prepared.train.x.items()}
        outputs, classes = asked(few), len(prepared.classes)
        wanted = {1} if self.task == "regress" else {classes, 1} if classes == 2 else {classes}
        if outputs.ndim != 2 or outputs.shape[1] not in wanted:
            hint = None if self.task == "regress" else f"the labels are {', '.join(prepared.classes[:10])}"
            if outputs.ndim == 1:
                hint = "leave the last axis as it is, of size 1: no squeeze"
            raise BadModel(
                f"it answers {outputs.shape[1:]} for a row; {' or '.join(f'({n},)' for n in sorted(wanted))} is needed",
                where=self.build,
                hint=hint,
            )
        if self.task == "regress":
            return prepared, ""
        is_single = outputs.shape[1] == 1
        are_probabilities = _are_probabilities(outputs) and (
            not is_single or last_layer == "sigmoid" or _stays_so(asked, few)
        )
        if self.answers == "probabilities" and not _are_probabilities(outputs):
            raise BadModel(
                "it was said to answer probabilities, and its answers are none",
                where=self.build,
                hint="end it in a softmax or sigmoid, or leave model.answers out",
            )
        if self.answers is not None:
            are_probabilities = self.answers == "probabilities"
        loss: Loss = "negative_log_likelihood" if are_probabilities else "cross_entropy"
        if is_single:
            loss = "binary_negative_log_likelihood" if are_probabilities else "binary_cross_entropy"
        name = "probabilities" if are_probabilities else "logits"
        spec = TensorSpec(name=name, dtype="float32", shape=("batch", outputs.shape[1]))
        told = replace(prepared, loss=loss, network_outputs=[spec])
        if is_single:
            train, validation = (
                part._replace(y=part.y.astype(np.float32)[:, None]) for part in (prepared.train, prepared.validation)
            )
            told = replace(told, train=train, validation=validation)
        return told, f"the network answers {name}"

    def told_by_name(self, prepared: Prepared, asked: Mapping[str, Callable[[Inputs], Array]]) -> tuple[Prepared, str]:
        """The same of a network that returns several; `asked` gives the answers of each.

        Raises BadModel too where probabilities stand beside logits and are not theirs.
        """
        inputs = {spec.name for spec in prepared.inputs}
        if both := [name for name in self.outputs if name in inputs]:
            raise UsageError(
                f"{both[0]!r} is what callers send, and cannot be what they receive too",
                where="model.outputs",
                hint="call that output otherwise",
            )
        few = {name: part[:64] for name, part in prepared.train.x.items()}
        learnt: Literal["logits", "probabilities"] = "logits" if "logits" in self.outputs else "probabilities"
        prepared, _ = msgspec.structs.replace(self, answers=learnt, outputs=[]).told(prepared, asked[learnt], "")
        found = {name: asked[name](few) for name in self.outputs}
        if learnt == "logits" and "probabilities" in found:
            expected = losses.probabilities(prepared.loss, found["logits"])[:, -found["probabilities"].shape[-1] :]
            if not np.allclose(found["probabilities"], expected, atol=1e-4):
                raise BadModel(
                    "its probabilities are not those of its logits",
                    where=self.build,
                    hint="call one of them otherwise in model.outputs",
                )
        specs = [TensorSpec(name=n, dtype="float32", shape=("batch", *array.shape[1:])) for n, array in found.items()]
        told = replace(prepared, network_outputs=specs, answer=learnt)
        return told, f"the network answers {', '.join(found)}; it learns by its {learnt}"

    def finish(self, prepared: Prepared, predict: Predict, *, title: str) -> Outcome:
        """Probabilities, label and confidence, or the value, measured on the held-out rows."""
        if self.task == "classify":
            single = prepared.learnt.shape[-1] == 1
            outcome = (classification.single if single else classification.outcome)(prepared, predict, title=title)
            return self._with_its_own(outcome, prepared) if self.outputs else outcome
        names = [spec.name for spec in prepared.network_inputs]
        outputs = predict(classification.network_tensors(prepared.before, prepared.held_out, names))
        return answers.value(prepared, outputs, title=title)

    def _with_its_own(self, outcome: Outcome, prepared: Prepared) -> Outcome:
        """The network's outputs published too; what it answers itself is not made a second time."""
        after = [step for step in outcome.after if step.output not in self.outputs]
        public = {spec.name: spec for spec in (*outcome.outputs, *prepared.network_outputs)}
        return replace(outcome, after=after, outputs=list(public.values()))


def _are_probabilities(outputs: Array) -> bool:
    """Values in [0, 1] and, of several classes, rows that sum to 1."""
    within = bool(((outputs >= 0) & (outputs <= 1)).all())
    return within and (outputs.shape[1] == 1 or bool(np.allclose(outputs.sum(axis=1), 1, atol=1e-3)))


def _stays_so(asked: Callable[[Inputs], Array], x: Inputs) -> bool:
    """Whether a single answer stays in [0, 1] for inputs far away: a small logit is there by chance."""
    far = [{n: part * size if part.dtype.kind == "f" else part for n, part in x.items()} for size in (1e3, -1e3)]
    return all(_are_probabilities(asked({n: part.astype(x[n].dtype) for n, part in rows.items()})) for rows in far)


def _spec(name: str, rows: Array) -> TensorSpec:
    """Of an input with such rows; the heights and widths of raw images may vary, strings are drawn from these."""
    if rows.dtype == object:
        return TensorSpec(name=name, dtype="string", shape=("batch",), domain=Domain(values=sorted(set(rows.tolist()))))
    if rows.dtype == np.uint8:
        return TensorSpec(name=name, dtype="uint8", shape=("batch", f"{name}_height", f"{name}_width", rows.shape[3]))
    return TensorSpec(name=name, dtype=str(rows.dtype), shape=("batch", *rows.shape[1:]))

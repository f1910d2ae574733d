"""Rungs 2 and 3 of a Keras model that was written in torch: parameters, and gradients in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.from_keras.model import Translated
from onnxpress.export.port.from_keras.shared import Carried
from onnxpress.export.port.proof.aside import aside, hand_back
from onnxpress.export.port.proof.emptied import KerasWeights
from onnxpress.export.port.proof.gradients import LIMIT, difference, finite, largest, unbounded, with_zeros
from onnxpress.export.port.proof.rung import Rung, Worst
from onnxpress.export.port.proof.streamed import gradient_of, gradients_of, hand_over
from onnxpress.export.port.proof.torch_target import TorchTarget

NARROW_LIMIT = 1e-3
"""in float32, for a source that TensorFlow cannot compute in float64: a wrong weight shows in the first digit"""


def parameters(translated: Translated, target: TorchTarget, weights: list[Any]) -> Rung:
    """Every parameter of the written model is the source's, exactly; every weight of the source is carried or named."""
    wrong: list[str] = []
    differences = list(translated.differences)
    model = target.model()
    written = model.state_dict()
    learning = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for one in translated.carried:
        sources = [weights[n] for n in one.sources]
        if not np.array_equal(written[one.name].numpy(), one.carry(*(np.asarray(s) for s in sources))):
            wrong.append(f"{one.name} is not {' + '.join(s.path for s in sources)}")
        if learning.get(one.name, False) != any(s.trainable for s in sources if not is_statistic(one.name)):
            wrong.append(f"{one.name} learns in one of the two only")
    carried = {one.name for one in translated.carried}
    for name in written:
        if name in carried or name in translated.constants or name.endswith("num_batches_tracked"):
            continue
        if learning.get(name, False):
            wrong.append(f"{name} comes from nowhere")
        else:
            differences.append(f"{name}: Keras has no such weight, so it stays as it is and does not learn")
    used = {n for one in translated.carried for n in one.sources}
    differences += [f"{w.path} is read by nothing, and left out" for n, w in enumerate(weights) if n not in used]
    for _, place in translated.left:
        if not any(difference.startswith(f"{weights[place].path}: ") for difference in differences):
            wrong.append(f"{weights[place].path} has a regulariser or a constraint that is not named")
    count = sum(int(np.prod(w.shape)) for w in weights if w.trainable)
    ours = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Rung(
        name="parameters",
        holds=not wrong,
        detail=wrong[0] if wrong else f"{count} that learn in the source, {ours} here; all values the same",
        differences=differences,
    )


def is_statistic(name: str) -> bool:
    """Whether training moves it without a gradient: batch norm's."""
    return name.rpartition(".")[2] in ("running_mean", "running_var")


class KerasSides:
    """The source in Keras and the written model in torch, both in one precision, on one batch.

    `open_twin` gives the source in it for as long as the context lasts, and `call` asks it: (model, tensors, training)
    → its answers by name. Of a `large` model one side is there at a time: whoever has asked one leaves it, and it is
    made anew of the source's weights when it is asked again. Its gradients by weights are never there together.
    """

    def __init__(self, open_twin: Callable[[], contextlib.AbstractContextManager[Any]], call: Any,
                 target: TorchTarget, translated: Translated, feeds: dict[str, Array], order: list[str],
                 precision: str, *, large: bool = False) -> None:  # fmt: skip
        self._open_twin, self._call, self.target, self.translated = open_twin, call, target, translated
        self.precision, self.large = precision, large
        self.first: KerasWeights | None = None
        """the source's weights as they are before training; None where the twin is the source itself"""
        self.shapes: list[tuple[int, ...]] = []
        """of the source's weights, told when it is asked"""
        self._learns = target.learning()
        self._twin: Any = None
        self._module: Any = None
        self._opened = contextlib.ExitStack()
        self.feeds = {n: v.astype(precision) if v.dtype.kind == "f" else v for n, v in feeds.items()}
        self._order = order
        self.weights: list[Array] = []
        """of the sum of the answers"""
        self._functions: dict[bool, Any] = {}
        self._by_keras: MutableMapping[int, Array] = aside(large=large)
        self._by_torch: MutableMapping[str, Array] = aside(large=large)
        self.reached: set[int] = set()
        """the places of the weights that the answers depend on, told when a gradient is traced"""

    def ask_once(self) -> None:
        """Draw the sum, and ask each side for it. Raises what the frameworks raise where they cannot."""
        generator = np.random.default_rng(7)
        answers = self._answered(self._tensors(), training=False)
        self.shapes = [tuple(weight.shape) for weight in self.twin.weights]
        self.weights = [
            generator.standard_normal(tuple(answers[name].shape)).astype(self.precision)
            for name, _, _ in self.target.outputs
        ]
        del answers
        self.of_keras(training=False)
        self.leave_keras()
        self.of_torch(training=False)
        self.leave_torch()

    @property
    def twin(self) -> Any:
        """The source in the precision."""
        if self._twin is None:
            self._twin = self._opened.enter_context(self._open_twin())
        return self._twin

    @property
    def module(self) -> Any:
        """The written model in it."""
        if self._module is None:
            self._module = self.target.built(self.precision)
            if self.large:
                hand_back()  # what it was filled from
        return self._module

    def leave_keras(self) -> None:
        """Free the gradients of the source's twin; of a large model all of it."""
        self._by_keras = aside(large=self.large)
        if self.large:
            self.close()
            hand_back()

    def leave_torch(self) -> None:
        """Free the written model's gradients; of a large one all of it."""
        if self._module is not None:
            self._module.zero_grad()
        self._by_torch = aside(large=self.large)
        if self.large:
            self._module = None
            hand_back()

    def close(self) -> None:
        """The source is as it was."""
        self._functions.clear()
        self._twin = None
        self._opened.close()

    def answered(self, *, training: bool) -> dict[str, Any]:
        """The source's answers to the batch, by name."""
        return self._answered(self._tensors(), training=training)

    def _tensors(self, feeds: dict[str, Array] | None = None) -> list[Any]:
        import tensorflow as tf

        return [tf.constant((feeds or self.feeds)[name]) for name in self._order]

    def _answered(self, tensors: list[Any], *, training: bool) -> dict[str, Any]:
        from onnxpress.export.networks.tensorflow.resizing import resized_in_float64

        with resized_in_float64() if self.precision == "float64" else contextlib.nullcontext():
            found: dict[str, Any] = self._call(self.twin, tensors, training)
        return found

    def answers_in_training(self) -> list[Array]:
        """What the source answers in training mode."""
        return [np.asarray(value) for value in self._answered(self._tensors(), training=True).values()]

    def learning(self) -> list[Carried]:
        """The parameters that training changes."""
        return [one for one in self.translated.carried if one.name in self._learns]

    def of_keras(
        self, *, training: bool, feeds: dict[str, Array] | None = None
    ) -> tuple[MutableMapping[int, Array], dict[str, Array], float]:
        """Gradients by weight and by float input, and the sum; of other `feeds`.

        Those by weight stand under their places in the twin, and are there until this side is asked again.
        """
        import tensorflow as tf

        if training not in self._functions:
            _ = self.twin  # variables are made outside of what is traced
            self._functions[training] = tf.function(
                lambda *inputs: self._differentiated(list(inputs), training), autograph=False
            )
        total, by, by_input = self._functions[training](*self._tensors(feeds))
        floats = [n for n in self._order if self.feeds[n].dtype.kind == "f"]
        if not self.large:
            self._by_keras.update(zip(self._places(), map(np.asarray, by), strict=True))
        return self._by_keras, {n: np.asarray(g) for n, g in zip(floats, by_input, strict=True)}, float(total)

    def _places(self) -> list[int]:
        """The weights by which the source is differentiated: all that learn there, carried or not."""
        trained = {n for n, weight in enumerate(self.twin.weights) if weight.trainable}
        return sorted(trained | {n for one in self.learning() for n in one.sources})

    def _differentiated(self, inputs: list[Any], training: bool) -> Any:
        import tensorflow as tf

        variables = [self.twin.weights[n].value for n in self._places()]
        watched = [x for x in inputs if x.dtype.is_floating]
        with tf.GradientTape() as tape:
            for x in watched:
                tape.watch(x)
            answers = self._answered(inputs, training=training)
            parts = [
                tf.reduce_sum(answers[name] * r)
                for (name, _, _), r in zip(self.target.outputs, self.weights, strict=True)
                if answers[name].dtype.is_floating
            ]
            total = sum(parts, tf.zeros((), self.precision))
        by = tape.gradient(total, [*variables, *watched])
        places = self._places()
        self.reached = {place for place, g in zip(places, by[: len(places)], strict=True) if g is not None}
        plain = zip(by, [*variables, *watched], strict=True)
        arrays = [tf.zeros_like(of) if g is None else tf.convert_to_tensor(g) for g, of in plain]
        by, by_input = arrays[: len(variables)], arrays[len(variables) :]
        if self.large:
            hand_over(lambda place, array: self._by_keras.update({place: array}), places, by)
            by = []
        return total, by, by_input

    def of_torch(
        self, *, training: bool, feeds: dict[str, Array] | None = None
    ) -> tuple[MutableMapping[str, Array], dict[str, Array], float]:
        """Gradients by parameter and by float input, and the sum; of other `feeds`.

        Those by parameter are there until this side is asked again.
        """
        import torch

        self.module.train(training)
        self.module.zero_grad()
        tensors = self.target.inputs(feeds or self.feeds)
        for tensor in tensors:
            if tensor.is_floating_point():
                tensor.requires_grad_(True)
        found = self.target.flat(self.module(*tensors))
        parts = [
            (value * torch.from_numpy(np.array(np.transpose(r, perm)))).sum()
            for value, r, (_, _, perm) in zip(found, self.weights, self.target.outputs, strict=True)
            if value.is_floating_point()
        ]
        total = sum(parts, torch.zeros((), dtype=getattr(torch, self.precision)))
        by = self._by_torch
        with gradients_of(dict(self.module.named_parameters()), by, large=self.large):
            if total.requires_grad:
                total.backward()
        by_input = {
            name: np.transpose(gradient_of(tensor), np.argsort(perm))
            for name, perm, tensor in zip(self.target.names, self.target.layouts, tensors, strict=True)
            if tensor.is_floating_point()
        }
        return by, by_input, total.item()

    def wanted(self, one: Carried, by: Mapping[int, Array]) -> Array:
        """The source's gradients as that of the torch parameter."""
        return one.carry(*(by[n] for n in one.sources))


def gradients(sides: KerasSides) -> Rung:
    """Compare both, in inference mode."""
    bounded = _bounded_at_zeros(sides)
    by, by_input, _ = sides.of_keras(training=False)
    used = {n for one in sides.learning() for n in one.sources}
    reached = [sides.twin.weights[n] for n in sorted(sides.reached - used)]
    lost = [weight.path for weight in reached if weight.trainable]
    sides.leave_keras()
    if lost:
        said = f"{lost[0]} learns in the source, and nothing here learns in its stead"
        return Rung(name="gradients", holds=False, detail=said)
    rung = _beside_torch(sides, by, by_input)
    if rung.holds and (wrong := _unbounded_at_zeros(sides, bounded)):
        rung = Rung(name="gradients", holds=False, detail=wrong)
    sides.leave_torch()
    return rung


def _bounded_at_zeros(sides: KerasSides) -> set[str]:
    """By what the source's gradient is finite where a row is zero, as padding is, in the written model's names."""
    if (feeds := with_zeros(sides.feeds)) is None:
        return set()
    by, by_input, _ = sides.of_keras(training=False, feeds=feeds)
    known = finite(by)
    found = {one.name for one in sides.learning() if known.issuperset(one.sources)}
    return found | {f"the input {name}" for name in finite(by_input)}


def _unbounded_at_zeros(sides: KerasSides, bounded: set[str]) -> str:
    """By which of them ours is not; empty where all are."""
    if (feeds := with_zeros(sides.feeds)) is None:
        return ""
    ours, our_inputs, _ = sides.of_torch(training=False, feeds=feeds)
    known = finite(ours) | {f"the input {name}" for name in finite(our_inputs)}
    names = [*ours, *(f"the input {name}" for name in our_inputs)]
    return unbounded({name: name in known for name in names}, bounded)


def _beside_torch(sides: KerasSides, by: Mapping[int, Array], by_input: dict[str, Array]) -> Rung:
    """The written model's gradients beside the source's."""
    ours, our_inputs, _ = sides.of_torch(training=False)
    worst = Worst()
    whole = max([1e-300, *(largest(g) for g in by.values())])
    for one in sides.learning():
        worst.add(difference(sides.wanted(one, by), ours[one.name], whole), one.name)
    for name, wanted in by_input.items():
        worst.add(difference(wanted, our_inputs[name], whole), f"the input {name}")
    count = len(sides.learning())
    detail = f"by {count} weights and {len(by_input)} inputs in {sides.precision}, the worst by {worst.where or 'none'}"
    return worst.rung("gradients", LIMIT if sides.precision == "float64" else NARROW_LIMIT, detail)

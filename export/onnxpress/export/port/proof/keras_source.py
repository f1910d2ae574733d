"""Rungs 2 to 4 of a Keras model that was written in torch: parameters, gradients in float64, training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.from_keras.model import Translated
from onnxpress.export.port.from_keras.shared import Carried
from onnxpress.export.port.proof import training as rung4
from onnxpress.export.port.proof.descent import STEPS, rate_of, step_of_keras, step_of_torch
from onnxpress.export.port.proof.gradients import LIMIT, difference, gradient_of
from onnxpress.export.port.proof.parting import GROWTHS, each_step, growth
from onnxpress.export.port.proof.rung import Rung, Worst
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
        if learning.get(one.name, False) != any(s.trainable for s in sources if not _is_statistic(one.name)):
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
    for weight in weights:
        told = [difference for difference in differences if difference.startswith(f"{weight.path}: ")]
        asked = [getattr(weight, "regularizer", None), getattr(weight, "constraint", None)]
        if len(told) < sum(one is not None for one in asked):
            wrong.append(f"{weight.path} has a regulariser or a constraint that is not named")
    count = sum(int(np.prod(w.shape)) for w in weights if w.trainable)
    ours = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Rung(
        name="parameters",
        holds=not wrong,
        detail=wrong[0] if wrong else f"{count} that learn in the source, {ours} here; all values the same",
        differences=differences,
    )


def _is_statistic(name: str) -> bool:
    return name.rpartition(".")[2] in ("running_mean", "running_var")


class KerasSides:
    """The source in Keras and the written model in torch, both in one precision, on one batch.

    `twin` is the source in it, and `call` asks it: (model, tensors, training) → its answers by name.
    """

    def __init__(self, twin: Any, call: Any, target: TorchTarget, translated: Translated, feeds: dict[str, Array],
                 order: list[str], precision: str) -> None:  # fmt: skip
        self.twin, self._call, self.target, self.translated = twin, call, target, translated
        self.precision = precision
        self.first: list[Any] = []
        """the source's weights as they are before training; empty where the twin is the source itself"""
        self.module = target.built(precision)
        self.feeds = {n: v.astype(precision) if v.dtype.kind == "f" else v for n, v in feeds.items()}
        self._order = order
        generator = np.random.default_rng(7)
        answers = self._answered(self._tensors(), training=False)
        self.weights = [
            generator.standard_normal(tuple(answers[name].shape)).astype(precision) for name, _, _ in target.outputs
        ]
        self._functions: dict[bool, Any] = {}

    def _tensors(self) -> list[Any]:
        import tensorflow as tf

        return [tf.constant(self.feeds[name]) for name in self._order]

    def _answered(self, tensors: list[Any], *, training: bool) -> dict[str, Any]:
        found: dict[str, Any] = self._call(self.twin, tensors, training)
        return found

    def learning(self) -> list[Carried]:
        """The parameters that training changes."""
        named = {n for n, p in self.module.named_parameters() if p.requires_grad}
        return [one for one in self.translated.carried if one.name in named]

    def of_keras(self, *, training: bool) -> tuple[dict[int, Array], dict[str, Array], float]:
        """Gradients by weight and by float input, and the sum."""
        import tensorflow as tf

        if training not in self._functions:
            self._functions[training] = tf.function(
                lambda *inputs: self._differentiated(list(inputs), training), autograph=False
            )
        total, by, by_input = self._functions[training](*self._tensors())
        floats = [n for n in self._order if self.feeds[n].dtype.kind == "f"]
        places = self._places()
        return (
            {n: np.asarray(g) for n, g in zip(places, by, strict=True)},
            {n: np.asarray(g) for n, g in zip(floats, by_input, strict=True)},
            float(total),
        )

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
        by = tape.gradient(total, [*variables, *watched], unconnected_gradients="zero")
        arrays = [tf.convert_to_tensor(g) for g in by]
        return total, arrays[: len(variables)], arrays[len(variables) :]

    def of_torch(self, *, training: bool) -> tuple[dict[str, Array], dict[str, Array], float]:
        """Gradients by parameter and by float input, and the sum."""
        import torch

        self.module.train(training)
        self.module.zero_grad()
        tensors = self.target.inputs(self.feeds)
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
        if total.requires_grad:
            total.backward()
        by_input = {
            name: np.transpose(gradient_of(tensor), np.argsort(perm))
            for name, perm, tensor in zip(self.target.names, self.target.layouts, tensors, strict=True)
            if tensor.is_floating_point()
        }
        return {n: gradient_of(p) for n, p in self.module.named_parameters()}, by_input, total.item()

    def wanted(self, one: Carried, by: dict[int, Array]) -> Array:
        """The source's gradients as that of the torch parameter."""
        return one.carry(*(by[n] for n in one.sources))


def gradients(sides: KerasSides) -> Rung:
    """Compare both, in inference mode."""
    by, by_input, _ = sides.of_keras(training=False)
    ours, our_inputs, _ = sides.of_torch(training=False)
    worst = Worst()
    whole = max([1e-300, *(float(np.abs(g).max(initial=0)) for g in by.values())])
    for one in sides.learning():
        worst.add(difference(sides.wanted(one, by), ours[one.name], whole), one.name)
    used = {n for one in sides.learning() for n in one.sources}
    for place, gradient in by.items():
        if place not in used:  # nothing here learns in its stead
            worst.add(
                float(np.abs(gradient).max(initial=0)) / whole, f"{sides.twin.weights[place].path}, which is left out"
            )
    for name, wanted in by_input.items():
        worst.add(difference(wanted, our_inputs[name], whole), f"the input {name}")
    count = len(sides.learning())
    detail = f"by {count} weights and {len(by_input)} inputs in {sides.precision}, the worst by {worst.where or 'none'}"
    return worst.rung("gradients", LIMIT if sides.precision == "float64" else NARROW_LIMIT, detail)


def training(sides: KerasSides) -> Rung:
    """Dropout's rates, the statistics after one step, and twenty steps with dropout off."""
    wanted, ours = _rates_of_keras(sides.twin), _rates_of_torch(sides.module)
    if wrong := rung4.other_rates(wanted, ours):
        return Rung(name="training", holds=False, detail=wrong)
    if idle := _idle(sides):
        return Rung(name="training", holds=False, detail=f"the dropout {idle} changes no answer: it is not called")
    with _no_dropout(sides):
        named: list[str] = []
        if wrong := _statistics(sides, named):
            return Rung(name="training", holds=False, detail=wrong)
        worst, losses = _steps(sides)
        limit, why = _limit(sides), ""
        if worst.figure > limit and sides.first:
            grown = growth(sides, losses)
            if worst.figure <= GROWTHS * grown:
                worst, bound = each_step(sides, limit)
                limit = min(bound, NARROW_LIMIT)
                why = f"; the source's own steps part by {grown:.1g} from rounding, so each is begun from its weights"
    detail = f"{STEPS} steps, {len(wanted)} dropouts measured; the worst: {worst.where or 'none'}{why}"
    return worst.rung("training", limit, detail, named)


def _limit(sides: KerasSides) -> float:
    return rung4.LIMIT if sides.precision == "float64" else NARROW_LIMIT


def _statistics(sides: KerasSides, named: list[str]) -> str:
    """What differs in the statistics after one call in training mode; empty where nothing does."""
    sizes: dict[str, int] = {}
    hooks = [
        m.register_forward_pre_hook(lambda _, args, n=n: sizes.__setitem__(n, args[0].numel() // args[0].shape[1]))
        for n, m in sides.module.named_modules()
        if hasattr(m, "running_mean") and hasattr(m, "momentum")
    ]
    statistics = [one for one in sides.translated.carried if _is_statistic(one.name)]
    state = sides.module.state_dict()
    before = {one.name: state[one.name].numpy().copy() for one in statistics}
    sides.of_torch(training=True)
    for hook in hooks:
        hook.remove()
    sides.of_keras(training=True)
    for one in statistics:
        owner = one.name.rpartition(".")[0]
        mine = sides.module.state_dict()[one.name].numpy()
        if one.name.endswith("running_var") and sizes.get(owner, 1) > 1:
            share, n = sides.module.get_submodule(owner).momentum, sizes[owner]
            batch = (mine - (1 - share) * before[one.name]) / share
            mine = (1 - share) * before[one.name] + share * batch * (n - 1) / n
            named.append(f"{one.name}: torch keeps n/(n − 1) of the batch's variance, Keras the variance itself")
        wanted = one.carry(*(np.asarray(sides.twin.weights[n]) for n in one.sources))
        scale = max(float(np.abs(wanted).max()), 1e-3)
        if not float(np.abs(wanted - mine).max()) <= _limit(sides) * scale:
            return f"{one.name} is another after one step of training"
    return ""


def _steps(sides: KerasSides) -> tuple[Worst, list[float]]:
    """Plain gradient descent on both: the largest difference of losses and parameters, and the source's losses."""
    worst = Worst()
    parameters = dict(sides.module.named_parameters())
    steps = []
    for _ in range(STEPS):
        by, _, loss = sides.of_keras(training=True)
        steps.append((loss, rate_of(by.values())))
        step_of_keras([sides.twin.weights[place] for place in by], by.values(), steps[-1][1])
    del by  # one side's gradients at a time
    for number, (loss, rate) in enumerate(steps):
        ours, _, our_loss = sides.of_torch(training=True)
        worst.add(abs(loss - our_loss) / max(abs(loss), 1.0), f"the loss of step {number + 1}")
        step_of_torch(parameters, {n: g for n, g in ours.items() if parameters[n].requires_grad}, rate)
    for one in sides.learning():
        wanted = one.carry(*(np.asarray(sides.twin.weights[n]) for n in one.sources))
        mine = parameters[one.name].detach().numpy()
        apart = float(np.abs(wanted - mine).max(initial=0)) / max(float(np.abs(wanted).max(initial=0)), 1e-3)
        worst.add(apart, one.name)
    return worst, [loss for loss, _ in steps]


def _dropouts_of_keras(model: Any) -> Iterator[tuple[Any, str]]:
    """Every layer that leaves something out in training, and the attribute that holds its rate."""
    import keras

    attention = keras.layers.Attention | keras.layers.AdditiveAttention
    cells = keras.layers.LSTMCell | keras.layers.GRUCell | keras.layers.SimpleRNNCell
    for layer in model._flatten_layers():
        if type(layer).__name__ in rung4.KERAS_DROPOUTS and hasattr(layer, "rate"):
            yield layer, "rate"
        elif isinstance(layer, attention | cells):
            yield layer, "dropout"


def _rates_of_keras(model: Any) -> list[float]:
    return sorted(float(rate) for layer, name in _dropouts_of_keras(model) if (rate := getattr(layer, name)))


def _rates_of_torch(module: Any) -> list[float]:
    """The share that each leaves out of ones, or of whole channels."""
    import torch

    found = []
    for _, layer in rung4.dropouts_of_torch(module.train()):
        if layer.p > 0:
            rank = int(type(layer).__name__[-2]) if type(layer).__name__.endswith("d") else 0
            out = layer(torch.ones((1, rung4.ONES, *(1,) * rank), dtype=torch.float64))
            is_out = out < 0 if type(layer).__name__ == "AlphaDropout" else out == 0
            found.append(float(is_out.double().mean()))
    return sorted(found)


def _idle(sides: KerasSides) -> str:
    """The first dropout of the written model that changes nothing by itself; empty where each does."""
    import torch

    tensors = sides.target.inputs(sides.feeds)
    found = ""
    with _no_dropout(sides), torch.no_grad(), rung4.unmoved(sides.module):
        sides.module.train()
        plain = sides.target.flat(sides.module(*tensors))
        for name, layer in list(rung4.dropouts_of_torch(sides.module)):
            layer.p = 0.9
            other = sides.target.flat(sides.module(*tensors))
            layer.p = 0.0
            if not found and all(torch.equal(a, b) for a, b in zip(plain, other, strict=True)):
                found = name
    return found


def _no_dropout(sides: KerasSides) -> contextlib.AbstractContextManager[None]:
    ours = ((layer, "p") for _, layer in rung4.dropouts_of_torch(sides.module))
    return rung4.switched_off([*_dropouts_of_keras(sides.twin), *ours])

"""Rung 4: statistics of batch norm after one step, dropout's rate, and twenty steps with dropout off.

The steps are plain gradient descent in float64 on both sides (see `descent`). Rounding, 2e-16 of a value, grows by
the network's own sensitivity. A constant that a layer of the target holds in float32 is 6e-8 away from the start, and
steps this small let it grow little: 1e-6 bounds both losses and parameters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.aside import aside
from onnxpress.export.port.proof.descent import STEPS, rate_of, step_of_keras, step_of_torch
from onnxpress.export.port.proof.drawing import chosen_of_keras, chosen_of_torch, of_whole_rows
from onnxpress.export.port.proof.dropping import (
    PLACED,
    Dropping,
    drops_weights,
    inner_rates,
    keras_marked,
    misplaced,
    torch_marked,
)
from onnxpress.export.port.proof.gradients import Sides, in_doubles, largest
from onnxpress.export.port.proof.keeping import moved_buffers, plain_values, unmoved
from onnxpress.export.port.proof.parting import GROWTHS, PARTED, OfTorch, each_step, growth
from onnxpress.export.port.proof.rates import (
    dropouts_of_keras,
    idle,
    no_dropout_of_keras,
    no_dropout_of_torch,
    other_rates,
    rates_of_keras,
    rates_of_torch,
)
from onnxpress.export.port.proof.rung import Rung, Worst

LIMIT = 1e-6
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass
class Trained:
    """What the source does in training, as the written model is held against it."""

    rates: tuple[list[float], list[float]]
    """of its dropouts, sorted"""
    batches: int
    """after how many steps its statistics are compared: a mean of all batches shows itself at the second"""
    statistics: dict[str, Array]
    """of batch norm after these, as Keras keeps them"""
    named: list[str]
    """how torch keeps them otherwise"""
    steps: list[tuple[float, float]]
    """the loss and the rate of each"""
    parameters: Mapping[str, Array]
    """after the last step"""
    dropping: Dropping
    kept: str
    """what calls change beside batch norm's statistics; empty where nothing is changed"""


def training(sides: Sides) -> Rung:
    """All of it; the first that fails is named."""
    if not sides.weights:
        return Rung(name="training", holds=True, detail="no answer has a gradient")
    trained = _of_torch(sides)
    sides.leave_torch()
    rung = _beside_keras(sides, trained)
    sides.leave_keras()
    return rung


def _of_torch(sides: Sides) -> Trained:
    rates = rates_of_torch(sides)
    dropping = _dropping_of_torch(sides)
    with no_dropout_of_torch(sides):
        batches, statistics, named = _statistics(sides)
        steps = _steps_of_torch(sides)
        kept = _kept(sides)
    parameters = aside(large=sides.large)
    for name, parameter in sides.module.named_parameters():
        parameters[name] = parameter.detach().numpy()
    return Trained(rates, batches, statistics, named, steps, parameters, dropping, kept)


def _beside_keras(sides: Sides, trained: Trained) -> Rung:
    (rates, rows), (ours, our_rows) = trained.rates, rates_of_keras(sides)
    if wrong := other_rates(rates, ours) or other_rates(rows, our_rows, "dropouts of whole rows"):
        return Rung(name="training", holds=False, detail=wrong)
    if uncalled := idle(sides):
        return Rung(name="training", holds=False, detail=f"the dropout {uncalled} changes no answer: it is not called")
    if wrong := trained.kept or (_misplaced(sides, trained) if rates else ""):
        return Rung(name="training", holds=False, detail=wrong)
    with no_dropout_of_keras(sides):
        for feeds in _batches(sides)[: trained.batches]:
            sides.of_keras(training=True, feeds=feeds)
        if wrong := _other_statistics(sides, trained.statistics):
            return Rung(name="training", holds=False, detail=wrong)
        worst, limit, why = _steps_of_keras(sides, trained), LIMIT, ""
        if worst.figure > limit:
            with no_dropout_of_torch(sides):
                parted = OfTorch(sides)
                grown = growth(parted, [loss for loss, _ in trained.steps])
                if worst.figure <= GROWTHS * grown:
                    worst, limit = each_step(parted, LIMIT)
                    why = PARTED.format(grown)
    detail = f"{STEPS} steps, {len(rates) + len(rows)} dropouts measured; the worst: {worst.where or 'none'}{why}"
    return worst.rung("training", limit, detail, trained.named)


def _kept(sides: Sides) -> str:
    """What a call in training mode changes in the source beside batch norm's statistics; empty where nothing is.

    All that a first call sets is set by now.
    """
    statistics = {one.sources[0] for one in sides.code.carried if one.sources[0].endswith(_STATISTICS)}
    buffers = {name: np.array(value) for name, value in sides.module.named_buffers()}
    numbers = plain_values(sides.module)
    sides.of_torch(training=True)
    changed = [name for name, value in plain_values(sides.module).items() if numbers.get(name) != value]
    read = {name for one in sides.code.carried for name in one.sources} | set(sides.code.constants)
    changed += [name for name in moved_buffers(sides.module, buffers) if name in read and name not in statistics]
    return f"{changed[0]} changes from call to call in the source, and nothing does so here" if changed else ""


def _dropping_of_torch(sides: Sides) -> Dropping:
    import torch

    module = sides.module.train()
    inner, found = inner_rates(module), []
    for are_undropped in (False, True)[: 1 + drops_weights(module)]:
        tensors = {n: torch.from_numpy(np.array(v)) for n, v in sides.feeds.items()}
        marking = torch_marked(module, inner, are_undropped=are_undropped)
        with marking, unmoved(module), chosen_of_torch(sides), torch.no_grad(), in_doubles():
            found.append([value.numpy() for value in sides.call(module, tensors)])
    return Dropping(found[0], marking.drawn, inner, found[-1])


def _misplaced(sides: Sides, trained: Trained) -> str:
    """What differs where dropouts act, and in what they draw; empty where nothing does."""
    import tensorflow as tf

    model = sides.target.model("float64")
    inputs = [tf.constant(v) for v in sides.target.inputs(sides.feeds)]
    statistics = [(v, np.array(v)) for v in model.non_trainable_variables]
    rows = [layer for layer in dropouts_of_keras(model) if of_whole_rows(layer) and layer.rate > 0]
    with keras_marked(model, trained.dropping.unmarked) as marking, chosen_of_keras(sides, rows):
        found = sides.target.call(inputs, "float64", training=True)
    for variable, value in statistics:
        variable.assign(value)
    perms = sides.target.perms()
    mine = [np.transpose(v, np.argsort(p)) if p else np.asarray(v) for v, p in zip(found, perms, strict=True)]
    return misplaced(trained.dropping, Dropping(mine, marking.drawn), PLACED, trained.named)


def _statistics(sides: Sides) -> tuple[int, dict[str, Array], list[str]]:
    """The statistics after so many calls in training mode as Keras keeps them, and how torch keeps them otherwise."""
    import torch

    kinds = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d,
             torch.nn.InstanceNorm1d, torch.nn.InstanceNorm2d, torch.nn.InstanceNorm3d)  # fmt: skip
    norms = {n: m for n, m in sides.module.named_modules() if isinstance(m, kinds)}
    batches = 2 if any(norm.momentum is None for norm in norms.values()) else 1
    with variances_of_keras(norms) as variances:
        for feeds in _batches(sides)[:batches]:
            sides.of_torch(training=True, feeds=feeds)
    found, named = {}, []
    for one in sides.code.carried:
        name = one.sources[0]
        owner, _, kind = name.rpartition(".")
        if kind not in _STATISTICS or owner not in variances:
            continue
        wanted = np.array(getattr(norms[owner], kind))
        if kind == "running_var":
            wanted = variances[owner].numpy()
            named.append(f"{name}: Keras keeps the batch's own variance, torch n/(n − 1) of it")
        found[name] = wanted
    return batches, found, named


def _batches(sides: Sides) -> list[dict[str, Array]]:
    """The batch, and another of its rows: the first half of them, each twice."""
    return [sides.feeds, {n: v[np.arange(len(v)) // 2] if v.ndim else v for n, v in sides.feeds.items()}]


@contextlib.contextmanager
def variances_of_keras(norms: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The running variance of each batch norm that is called meanwhile, as Keras keeps it, by the norm's name.

    Keras takes each batch's own variance, torch n/(n − 1) of it; a norm that is called several times does so each time.
    """
    found: dict[str, Any] = {}
    before: dict[str, Any] = {}

    def begun(name: str, norm: Any) -> None:
        before[name] = norm.running_var.clone()

    def called(name: str, norm: Any, args: Any) -> None:
        n, share = args[0].numel() // args[0].shape[1], norm.momentum
        n //= len(args[0]) if "Instance" in type(norm).__name__ else 1  # each row's own variance
        last = found.get(name, before[name])
        if share is None and norm.training and norm.track_running_stats:
            share = 1 / int(norm.num_batches_tracked)
        if n > 1 and share and norm.training and norm.track_running_stats:
            own = (norm.running_var - (1 - share) * before[name]) / share * (n - 1) / n
            last = (1 - share) * last + share * own
        found[name] = last

    with contextlib.ExitStack() as stack:
        for name, norm in norms.items():
            if norm.running_var is None:
                continue
            pre = norm.register_forward_pre_hook(lambda m, _, n=name: begun(n, m))
            stack.callback(pre.remove)
            hook = norm.register_forward_hook(lambda m, args, _, n=name: called(n, m, args))
            stack.callback(hook.remove)
        yield found


def _other_statistics(sides: Sides, statistics: dict[str, Array]) -> str:
    """What differs in them after one call of the written model in training mode; empty where nothing does."""
    for one in sides.code.carried:
        name = one.sources[0]
        if name not in statistics:
            continue
        wanted, mine = statistics[name], np.asarray(sides.target.variable(one, "float64"))
        scale = max(float(np.abs(wanted).max()), 1e-3)
        if not float(np.abs(one.carry(wanted) - mine).max()) <= LIMIT * scale:
            return f"{name} is another after a step of training"
    return ""


def _steps_of_torch(sides: Sides) -> list[tuple[float, float]]:
    """Plain gradient descent; the loss and the rate of each step."""
    summed = {name for one in sides.code.carried if one.several for name in one.sources[1:]}
    parameters = {n: p for n, p in sides.module.named_parameters() if p.requires_grad and n not in summed}
    steps = []
    for _ in range(STEPS):
        by, _, loss = sides.of_torch(training=True)
        steps.append((loss, rate_of(by.values())))
        step_of_torch(parameters, by, steps[-1][1])
    return steps


def _steps_of_keras(sides: Sides, trained: Trained) -> Worst:
    """The same; the largest difference of losses and parameters from the source's, and where."""
    worst = Worst()
    variables = [sides.target.variable(one, "float64") for one in sides.learning()]
    for number, (loss, rate) in enumerate(trained.steps):
        ours, _, our_loss = sides.of_keras(training=True)
        worst.add(abs(loss - our_loss) / max(abs(loss), 1.0), f"the loss of step {number + 1}")
        step_of_keras(variables, (ours[place] for place in range(len(variables))), rate)
    for one, variable in zip(sides.learning(), variables, strict=True):
        wanted = one.carry(*(trained.parameters[name] for name in one.sources))
        mine = np.asarray(variable)
        worst.add(largest(wanted - mine) / max(largest(wanted), 1e-3), one.sources[0])
    return worst

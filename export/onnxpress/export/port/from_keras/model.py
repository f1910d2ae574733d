"""A whole Keras model as one Block in torch's vocabulary, and where every parameter comes from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from keras import KerasTensor, tree

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.port.bounds import Bound
from onnxpress.export.port.code import identifier
from onnxpress.export.port.from_keras import (
    activations,
    arithmetic,
    attention,
    axes,
    convolutions,
    dense,
    images,
    norms,
    pools,
    recurrent,
    selecting,
)
from onnxpress.export.port.from_keras.calls import GraphBuilder, argument_names
from onnxpress.export.port.from_keras.constraints import bounds
from onnxpress.export.port.from_keras.graph import Graph, graph_of, is_graph, traced
from onnxpress.export.port.from_keras.grouping import grouped
from onnxpress.export.port.from_keras.penalties import penalties
from onnxpress.export.port.from_keras.registry import LAYERS, OPERATIONS
from onnxpress.export.port.from_keras.shared import Carried, Shared
from onnxpress.export.port.from_keras.values import Value, channels_first
from onnxpress.export.port.layout import Unordered, identity
from onnxpress.export.port.penalty import Penalty
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block

__all__ = ["LAYERS", "OPERATIONS", "Translated", "activations", "arithmetic", "attention", "axes", "convolutions",
           "dense", "images", "norms", "pools", "recurrent", "selecting", "translated"]  # fmt: skip


@dataclass(frozen=True)
class Translated:
    """The model in torch's vocabulary. `block.owner` holds every parameter and buffer."""

    block: Block
    carried: list[Carried]
    inputs: list[tuple[int, ...]]
    """the layout of each input: which of the source's axes lies at each place"""
    outputs: Any
    """the layout of each answer, in the structure in which they are answered"""
    transposes: int
    reshapes: int
    """that move axes of 1 alone"""
    differences: list[str]
    starts: dict[str, list[str]]
    constants: frozenset[str]
    renamed: Mapping[str, str] = field(default_factory=dict)
    """layers that stand in blocks which the graph has not: what they were called → their paths"""
    penalties: Sequence[Penalty] = ()
    """what Keras's regularisers of weights add to the loss"""
    left: frozenset[tuple[str, int]] = frozenset()
    """("regularizer" or "constraint", the place of a weight) of those that are named and left to the training loop"""
    bounds: Sequence[tuple[str, Bound]] = ()
    """parameter, and what Keras's constraint keeps it within"""


def translated(
    model: Any,
    graph: Graph,
    names: Sequence[str],
    specs: Sequence[TensorSpec],
    feeds: Sequence[dict[str, Array]],
    *,
    keep: bool = False,
) -> Translated:
    """The model whose graph this is. `specs` stand in the order of the graph's inputs; `feeds` are of two sizes.

    The inputs have the layout that leaves the fewest transposes; with `keep` they and the answers have Keras's own.
    Raises NoCorrespondence for what cannot be said.
    """
    best: Translated | None = None
    for perms in itertools.islice(itertools.product(*(_ways(len(spec.shape), keep) for spec in specs)), 16):
        found = _settled(model, graph, names, specs, feeds, perms, keep)
        if best is None or (found.transposes, found.reshapes) < (best.transposes, best.reshapes):
            best = found
        if best.transposes + best.reshapes == 0:
            break
    assert best is not None
    return _trained_alike(best, model)


def _ways(rank: int, keep: bool) -> list[tuple[int, ...]]:
    """The layouts that an input may have; of those that are as good the first, which is torch's own of images."""
    if rank < 3 or keep:
        return [identity(rank)]
    if rank == 3:
        return [identity(3), channels_first(3)]
    return [channels_first(rank), identity(rank), *([(0, 1, 4, 2, 3)] if rank == 5 else [])]


def _settled(model: Any, graph: Graph, names: Sequence[str], specs: Sequence[TensorSpec],
             feeds: Sequence[dict[str, Array]], perms: Sequence[tuple[int, ...]],
             keep: bool) -> Translated:  # fmt: skip
    settled: set[Any] = set()
    while True:
        shared = Shared(list(model.weights), settled)
        builder = GraphBuilder(shared, "", model)
        builder.own(model)
        given = []
        for name, spec, perm in zip(names, specs, perms, strict=True):
            pair = tuple(torch.from_numpy(np.array(np.transpose(feed[spec.name], perm))) for feed in feeds)
            given.append(builder.input(identifier(name), (pair[0], pair[1]), perm))
            builder.stand_ins(given[-1])  # before those of what is made of them
        try:
            outputs = tree.map_structure(lambda v, b=builder: _ended(b, v, keep), builder.graph(graph, given))
        except Unordered as error:
            settled.add(error.place)
            continue
        layouts = tree.map_structure(lambda v: _Layout(v.perm), outputs)
        block = grouped(builder.block(outputs), shared)
        return Translated(
            block, shared.carried, list(perms), layouts, shared.transposes, shared.reshapes,
            shared.differences, shared.starts, frozenset(shared.constants), shared.renamed,
        )  # fmt: skip


@dataclass(frozen=True)
class _Layout:
    """Of one answer; no tuple, so that it is no structure itself."""

    perm: tuple[int, ...]


def _ended(w: GraphBuilder, value: Any, keep: bool) -> Value:
    """An answer: in Keras's order of axes, but for channels that come first, if they may."""
    if not isinstance(value, Value):
        raise NoCorrespondence(f"an answer that is {type(value).__name__} has no correspondence")
    value = w.settle(w.made(value))
    first = channels_first(value.rank) if value.rank > 2 and not keep else None
    if value.perm not in (identity(value.rank), first):
        value = w.plain(value)
    return value


def _trained_alike(found: Translated, model: Any) -> Translated:
    """With what Keras does to weights while it trains, and no layer of torch: functions of the module, or named."""
    parameters = dict(found.block.owner.named_parameters())
    small = penalties(model.weights, found.carried, parameters)
    within = bounds(model.weights, found.carried, parameters)
    named, left = [], set()
    for place, weight in enumerate(model.weights):
        penalty, constraint = getattr(weight, "regularizer", None), getattr(weight, "constraint", None)
        if penalty is not None and weight.trainable and place not in small:
            left.add(("regularizer", place))
            named.append(f"{weight.path}: Keras adds {_said(penalty)} of it to the loss, which torch's loop must")
        if constraint is not None and weight.trainable and place not in within:
            left.add(("constraint", place))
            named.append(
                f"{weight.path}: Keras keeps it within {_said(constraint)} after each step, which torch's loop must"
            )
    named += [
        f"{layer.name}: Keras adds a penalty of its answers to the loss, which torch's loop must"
        for layer in model._flatten_layers()
        if getattr(layer, "activity_regularizer", None) is not None
    ]
    differences = [*dict.fromkeys([*found.differences, *named])]
    return replace(
        found, differences=differences, penalties=[*small.values()], bounds=[*within.values()], left=frozenset(left)
    )


def _said(value: Any) -> str:
    config = value.get_config() if hasattr(value, "get_config") else {}
    inside = ", ".join(f"{k}={float(v):g}" for k, v in config.items() if isinstance(v, int | float | np.number))
    return f"{type(value).__name__}({inside})"


def root_graph(model: Any, call: Any, symbols: list[KerasTensor]) -> tuple[Graph, list[str], list[int]]:
    """The graph of the model as it is asked, the names of its arguments, and which of the symbols each is."""
    if is_graph(model):
        graph = graph_of(model, (), {})
        return graph, argument_names(model, graph, (), {}), list(range(len(symbols)))
    outputs = traced(lambda *tensors: call(model, list(tensors)), tuple(symbols), {}, str(model.name)).outputs
    history = tree.flatten(outputs)[0]._keras_history
    arguments = history.operation._inbound_nodes[history.node_index].arguments
    kwargs = {key: value for key, value in arguments.kwargs.items() if key not in ("training", "mask")}
    graph = graph_of(model, arguments.args, kwargs)
    given = [x for x in tree.flatten((arguments.args, kwargs)) if isinstance(x, KerasTensor)]
    order = [next(n for n, symbol in enumerate(symbols) if symbol is x) for x in given]
    names = list(argument_names(model, graph, arguments.args, kwargs))
    return graph, names, order

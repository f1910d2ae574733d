"""A module's graph: followed once, its checks of sizes tried the other way, its dropout told in training mode."""

from __future__ import annotations

import itertools
import os
from typing import Any

import torch
from torch import fx

from onnxpress.export.port.from_torch.drawing import take_drawn
from onnxpress.export.port.from_torch.numbers import sizes_as_numbers
from onnxpress.export.port.from_torch.tracer import INSIDE, Tracer, made_traced
from onnxpress.export.port.refusal import NoCorrespondence


def trace(root: torch.nn.Module, arguments: tuple[Any, Any]) -> tuple[fx.Graph, Tracer]:
    """The graph of root's forward. `arguments` are its args and kwargs, each tensor in them a Given.

    Raises NoCorrespondence with the line that cannot be followed.
    """
    graph, tracer = _traced(root, arguments)
    for number, where in enumerate(tracer.decisions):
        if _differs(root, arguments, number, graph, tracer.inlined):
            raise NoCorrespondence("the code takes a way that depends on a size that varies", where=where)
    dropping = _dropping(graph)
    if dropping or _asks_for_training(root):  # how much is dropped shows in training mode alone
        root.training = True
        try:
            trained, other_tracer = _traced(root, arguments, tracer.inlined)
        except NoCorrespondence:
            return graph, tracer
        finally:
            root.training = False
        _take_rates(dropping, _dropping(trained))
        tracer.draws = take_drawn(graph, tracer, trained, other_tracer)
        tracer.trained_at = _parting(graph, trained, other_tracer)
    return graph, tracer


def _take_rates(dropping: list[fx.Node], trained: list[fx.Node]) -> None:
    """Give every dropout the rate that it has in training mode."""
    if [node.target for node in trained] != [node.target for node in dropping]:
        return
    for node, other in zip(dropping, trained, strict=True):
        name, place = _RATES[node.target]
        if len(other.args) > place:
            node.args = (*node.args[:place], other.args[place], *node.args[place + 1 :])
        elif name in other.kwargs:
            node.kwargs = {**node.kwargs, name: other.kwargs[name]}


def _asks_for_training(root: torch.nn.Module) -> bool:
    """Whether a method of the author's reads `self.training`."""
    methods = [
        one for kind in type(root).__mro__ if not kind.__module__.startswith("torch.") for one in vars(kind).values()
    ]
    return any("training" in code.co_names for one in methods if (code := getattr(one, "__code__", None)) is not None)


def _parting(graph: fx.Graph, trained: fx.Graph, tracer: Tracer) -> str:
    """The line from which on training mode computes something else; empty where it does not."""
    pairs = itertools.zip_longest(graph.nodes, trained.nodes)
    node = next((b for a, b in pairs if b is not None and (a is None or (a.op, a.target) != (b.op, b.target))), None)
    return "" if node is None or node.op == "output" else tracer.lines.get(node.name, "")


_RATES = {
    torch.nn.functional.scaled_dot_product_attention: ("dropout_p", 4),
    torch.nn.functional.dropout: ("p", 1),
}
"""function → what its rate is called, and its place among the arguments"""


def _in_several_ways(root: torch.nn.Module, tracer: Tracer) -> set[str]:
    """The author's submodules that are called with other plain arguments than before."""
    return {path for path in tracer.differing if not type(root.get_submodule(path)).__module__.startswith("torch.nn")}


def _differs(
    root: torch.nn.Module, arguments: tuple[Any, Any], number: int, graph: fx.Graph, inlined: frozenset[str]
) -> bool:
    """Whether another decision at this place computes something else; a check that fails there computes nothing."""
    tracer = Tracer(inlined)
    tracer.turned = number
    try:
        with made_traced(tracer), sizes_as_numbers(root):
            other = tracer.trace(root, {"all": arguments})
    except NoCorrespondence:
        return True
    except Exception:  # it is the author's check
        return False
    return [(n.op, n.target) for n in other.nodes] != [(n.op, n.target) for n in graph.nodes]


def _dropping(graph: fx.Graph) -> list[fx.Node]:
    return [node for node in graph.nodes if node.target in _RATES]


def _traced(
    root: torch.nn.Module, arguments: tuple[Any, Any], inlined: frozenset[str] = frozenset()
) -> tuple[fx.Graph, Tracer]:
    """With the steps of a submodule that is called in several ways in place of its calls."""
    tracer = Tracer(inlined)
    try:
        with made_traced(tracer), sizes_as_numbers(root):
            graph = tracer.trace(root, {"all": arguments})
        if more := _in_several_ways(root, tracer) - inlined:
            return _traced(root, arguments, inlined | more)
        return graph, tracer
    except NoCorrespondence:
        raise
    except Exception as error:
        trail, where = error.__traceback__, ""
        while trail is not None:
            name = trail.tb_frame.f_code.co_filename
            if not name.startswith(INSIDE[:2]):
                where = f"{os.path.basename(name)}:{trail.tb_lineno}"
            trail = trail.tb_next
        said = str(error).strip() or type(error).__name__
        raise NoCorrespondence(f"this line cannot be traced: {said.splitlines()[0]}", where=where) from error

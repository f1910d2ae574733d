"""A module's graph: followed once, its checks of sizes tried the other way, its dropout told in training mode."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from onnxpress.core.raised import own_frame, place
from onnxpress.export.port.from_torch.drawing import take_drawn
from onnxpress.export.port.from_torch.lines import INSIDE
from onnxpress.export.port.from_torch.made import made_traced
from onnxpress.export.port.from_torch.numbers import sizes_as_numbers
from onnxpress.export.port.from_torch.tracer import Tracer
from onnxpress.export.port.refusal import NoCorrespondence


def trace(
    root: torch.nn.Module, arguments: tuple[Any, Any], inlined: frozenset[str] = frozenset()
) -> tuple[fx.Graph, Tracer]:
    """The graph of root's forward. `arguments` are its args and kwargs, each tensor in them a Given.

    The submodules in `inlined` are followed where they are called. Raises NoCorrespondence with the line that cannot be
    followed.
    """
    graph, tracer = _traced(root, arguments, inlined)
    for number, where in enumerate(tracer.decisions):
        if _differs(root, arguments, number, graph, tracer.inlined):
            raise NoCorrespondence("the code takes a way that depends on a size that varies", where=where)
    dropping = _dropping(graph)
    for node in dropping:
        if _is_on(node):
            raise NoCorrespondence(
                "dropout that is on in inference mode too has no correspondence",
                where=tracer.lines.get(node.name, ""),
                hint="functional.dropout(x, p, training=self.training)",
            )
    if dropping or _asks_for_training(root):  # how much is dropped shows in training mode alone
        followed = {root, *map(root.get_submodule, tracer.inlined), *tracer.entered}
        for module in followed:
            module.training = True
        try:
            trained, other_tracer = _traced(root, arguments, tracer.inlined)
        except NoCorrespondence:
            return graph, tracer
        finally:
            for module in followed:
                module.training = False
        _take_rates(dropping, _dropping(trained))
        tracer.draws = take_drawn(graph, tracer, trained, other_tracer)
        tracer.own_gradients = list(dict.fromkeys([*tracer.own_gradients, *other_tracer.own_gradients]))
        tracer.trained_at = _parting(graph, trained, tracer.lines, other_tracer.lines)
    return graph, tracer


def _to_follow(root: torch.nn.Module, tracer: Tracer) -> frozenset[str]:
    """The modules of the author's whose calls differ in plain arguments, or in what sizes make of them.

    Each of their calls is followed on its own.
    """
    resized = [path for path, given in tracer.resized.items() if _goes_by_sizes(root, path, tracer.calls[path], given)]
    return frozenset(path for path in [*tracer.differing, *resized] if not _is_layer(type(root.get_submodule(path))))


_BY_SIZES = (
    "reshape", "view", "flatten", "unflatten", "interpolate", "expand", "repeat", "pad", "arange", "zeros", "ones",
    "full", "linspace", "eye", "Flatten", "Unflatten", "PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "Upsample",
    "AvgPool1d", "AvgPool2d", "AvgPool3d", "var", "std", "size_of", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
)  # fmt: skip
"""of these the written code may hold sizes as numbers"""


def _goes_by_sizes(root: torch.nn.Module, path: str, first: Any, second: Any) -> bool:
    """Whether what is written of a module for arguments of one size may be wrong for those of another."""
    module = root.get_submodule(path)
    if _is_layer(type(module)):
        return type(module).__name__ in _BY_SIZES
    try:
        (one, tracer), (other, other_tracer) = _traced(module, first), _traced(module, second)
    except NoCorrespondence:
        return True
    if [(n.op, n.target, str(n.args)) for n in one.nodes] != [(n.op, n.target, str(n.args)) for n in other.nodes]:
        return True
    names = [getattr(n.target, "__name__", str(n.target)) for n in one.nodes if n.op.startswith("call_f")]
    names += [str(n.target) for n in one.nodes if n.op == "call_method"]
    calls = [(path, tracer.calls[path], other_tracer.calls[path]) for path in tracer.calls]
    return any(name in _BY_SIZES for name in names) or any(_goes_by_sizes(module, *call) for call in calls)


def _is_layer(kind: type) -> bool:
    """Whether it is a layer of torch's own, and not one that holds the author's."""
    return kind.__module__.startswith("torch.nn.") and not kind.__module__.endswith(".container")


@contextlib.contextmanager
def _as_it_was(root: torch.nn.Module) -> Iterator[None]:
    """What forward keeps on its modules while it is followed is forgotten."""
    before = [(vars(module), dict(vars(module))) for module in root.modules()]
    try:
        yield
    finally:
        for now, then in before:
            made = {name: value for name, value in now.items() if name.startswith("_tensor_constant")}  # by the tracer
            now.clear()
            now.update(then | made)


def _take_rates(dropping: list[fx.Node], trained: list[fx.Node]) -> None:
    """Give every dropout the rate that it has in training mode."""
    if [node.target for node in trained] != [node.target for node in dropping]:
        return
    for node, other in zip(dropping, trained, strict=True):
        name, place = _RATES[node.target]
        rate = other.args[place] if len(other.args) > place else other.kwargs.get(name, _USUAL[node.target])
        rate = rate if _is_on(other) else 0.0  # off in both modes
        if len(node.args) > place:
            node.args = (*node.args[:place], rate, *node.args[place + 1 :])
        else:
            node.kwargs = {**node.kwargs, name: rate}


def _is_on(node: fx.Node) -> bool:
    """Whether it drops anything in the mode that was traced."""
    name, place = _RATES[node.target]
    rate = node.args[place] if len(node.args) > place else node.kwargs.get(name, _USUAL[node.target])
    if node.target is torch.nn.functional.dropout:
        is_training = node.args[2] if len(node.args) > 2 else node.kwargs.get("training", True)
        return bool(is_training) and bool(rate)
    return bool(rate)


def _asks_for_training(root: torch.nn.Module) -> bool:
    """Whether a method of the author's reads `self.training`."""
    methods = [
        one for kind in type(root).__mro__ if not kind.__module__.startswith("torch.") for one in vars(kind).values()
    ]
    return any("training" in code.co_names for one in methods if (code := getattr(one, "__code__", None)) is not None)


def _parting(graph: fx.Graph, trained: fx.Graph, lines: dict[str, str], trained_lines: dict[str, str]) -> str:
    """The line from which on training mode computes something else; empty where it does not."""
    pairs = itertools.zip_longest(graph.nodes, trained.nodes)
    for own, other in pairs:
        if own is None or other is None or (own.op, own.target) != (other.op, other.target):
            if other is not None and other.op != "output":
                return trained_lines.get(other.name, "")
            return lines.get(own.name, "") if own is not None else ""
    return ""


_RATES = {
    torch.nn.functional.scaled_dot_product_attention: ("dropout_p", 4),
    torch.nn.functional.dropout: ("p", 1),
}
"""function → what its rate is called, and its place among the arguments"""
_USUAL = {torch.nn.functional.scaled_dot_product_attention: 0.0, torch.nn.functional.dropout: 0.5}
"""the rate where none is given"""


def _differs(
    root: torch.nn.Module, arguments: tuple[Any, Any], number: int, graph: fx.Graph, inlined: frozenset[str]
) -> bool:
    """Whether another decision at this place computes something else; a check that fails there computes nothing."""
    tracer = Tracer(inlined)
    tracer.turned = number
    try:
        with _as_it_was(root), made_traced(tracer), sizes_as_numbers(root):
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
    tracer = Tracer(inlined)
    try:
        with _as_it_was(root), made_traced(tracer), sizes_as_numbers(root):
            graph = tracer.trace(root, {"all": arguments})
        if not (more := _to_follow(root, tracer)):
            return graph, tracer
    except Exception as error:
        if more := _to_follow(root, tracer):
            return _traced(root, arguments, inlined | more)
        if isinstance(error, NoCorrespondence):
            raise
        where = place(own_frame(error, lambda file: file.startswith(INSIDE[:2])))
        said = str(error).strip() or type(error).__name__
        raise NoCorrespondence(f"this line cannot be traced: {said.splitlines()[0]}", where=where) from error
    return _traced(root, arguments, inlined | more)

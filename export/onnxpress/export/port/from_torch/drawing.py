"""Stochastic depth that a module draws by itself, told by what it does: rows that are left out, the others scaled.

In training mode the module is traced a second time. Where that trace makes of a value, by one random draw for each row
or for all, either zero or the value over the share that is kept, a dropout of whole rows stands in both traces instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

UNIFORM = (torch.rand, torch.rand_like, "uniform_")
_OF_SHARE = (torch.bernoulli, "bernoulli", "bernoulli_")
HIGHEST = 1 - 2.0**-24
_STEPS = 26
"""halvings of the interval in which the draw decides"""
_NEAR = 2e-7
_MOST_NODES = 12
_TRIES = 16


@dataclass(frozen=True)
class Drawn:
    """A dropout of whole rows, or of all rows together where `axes` is empty."""

    rate: float
    axes: tuple[int, ...]
    kept: float
    """a draw that keeps"""
    out: float
    """a draw that leaves out"""


def dropped(x: Any, rate: float, axes: tuple[int, ...]) -> Any:
    """The function that stands in the graph for it; in inference mode the value itself."""
    return x


def is_draw(target: Any) -> bool:
    """Whether a call of it draws random numbers."""
    return target in UNIFORM or target in _OF_SHARE


def at_the_end(target: Any, value: Any, which: int) -> Any:
    """The draw's value in the trace: the lowest at the first size, the highest at the second.

    What decides by it decides otherwise at the two, and is refused as every way is that depends on values.
    """
    return value.fill_(0.0 if which == 0 else 1.0 if target in _OF_SHARE else HIGHEST)


def take_drawn(graph: fx.Graph, tracer: Any, trained: fx.Graph, other: Any) -> list[Drawn | None]:
    """Put a `dropped` in both graphs for each such dropout of `trained`, the graph of training mode.

    What is returned says of each draw in their order what it is for; None where it is for nothing that is known.
    """
    draws = [node for node in trained.nodes if is_draw(node.target)]
    if not draws:
        return []
    _without_dead(trained)
    _without_dead(graph)
    alive = set(trained.nodes)
    found: dict[fx.Node, Drawn] = {}
    for draw in draws:
        if draw in alive and (one := _told(draw, other)) is not None:
            end, start, found[draw] = one
            with trained.inserting_after(end):
                new = trained.call_function(dropped, (start, found[draw].rate, found[draw].axes))
            end.replace_all_uses_with(new)
            other.lines[new.name] = other.lines.get(end.name, "")
            other.variables[new.name] = other.variables.get(end.name, [])
            _without_dead(trained)
            alive = set(trained.nodes)
    if found:
        _aligned(graph, tracer, trained, other)
    return [found.get(draw) for draw in draws]


def _without_dead(graph: fx.Graph) -> None:
    for node in reversed(list(graph.nodes)):
        if node.op not in ("placeholder", "output") and not node.users:
            graph.erase_node(node)


# which value is left out by a draw


def _told(draw: fx.Node, tracer: Any) -> tuple[fx.Node, fx.Node, Drawn] | None:
    """The last and the first value of what the draw decides, and how."""
    reached = {draw}
    for end in list(draw.graph.nodes):
        if end is draw or not reached.intersection(end.all_input_nodes):
            continue
        reached.add(end)
        if end.op not in ("call_function", "call_method") or len(reached) > _MOST_NODES:
            return None
        if any(user not in reached for node in reached - {end} for user in node.users):
            continue
        for start in _starts(end, reached, tracer):
            if (found := _measured(draw, start, end, tracer)) is not None:
                return end, start, found
    return None


def _starts(end: fx.Node, reached: set[fx.Node], tracer: Any) -> Iterator[fx.Node]:
    """Values of the same shape that go into it, the nearest first."""
    left = [node for one in reached for node in one.all_input_nodes if node not in reached]
    seen: set[fx.Node] = set()
    shape = _shape(end, tracer)
    while left and len(seen) < _MOST_NODES:
        node = left.pop(0)
        if node in seen or shape is None:
            continue
        seen.add(node)
        if _shape(node, tracer) == shape:
            yield node
            left += node.all_input_nodes


def _shape(node: fx.Node, tracer: Any) -> Any:
    pair = tracer.pairs.get(node.name)
    if pair is None or not isinstance(pair[0], torch.Tensor) or not pair[0].is_floating_point():
        return None
    return tuple(value.shape for value in pair)


def _measured(draw: fx.Node, start: fx.Node, end: fx.Node, tracer: Any) -> Drawn | None:
    """What the draw does to `start`; None where that is no dropout of whole rows."""
    value = tracer.pairs[start.name][0]
    x = torch.rand(value.shape, generator=torch.Generator().manual_seed(0), dtype=value.dtype) + 0.5
    size = tracer.pairs[draw.name][0]
    compute = _computing(draw, start, end, tracer)

    def scale(number: float) -> float:
        ratio = compute(x, torch.full_like(size, number)) / x
        first = float(ratio.flatten()[0])
        return first if bool((abs(ratio - first) <= 1e-5).all()) else float("nan")

    try:
        if draw.target in _OF_SHARE:
            low, high, highest = scale(0.0), scale(1.0), 1.0
        else:
            low, high, highest = scale(0.0), scale(HIGHEST), HIGHEST
        if (low == 0) == (high == 0) or low != low or high != high:
            return None
        low_rate = _share_of_lower(draw, scale, low, tracer)
        if low_rate is None:
            return None
        rate = _short(low_rate if low == 0 else 1 - low_rate)
        if not 0 < rate < 1 or abs((high or low) * (1 - rate) - 1) > 1e-5:
            return None
        kept, out = (highest, 0.0) if low == 0 else (0.0, highest)
        axes = _axes(lambda keeps: compute(x, torch.where(keeps, kept, out).to(size.dtype)) / x, size)
    except Exception:  # it cannot be computed with another draw: it is something else
        return None
    if axes not in ((0,), ()):
        return None
    middle = (low_rate / 2, low_rate + (1 - low_rate) / 2)
    if draw.target not in _OF_SHARE:
        kept, out = middle[::-1] if low == 0 else middle
    return Drawn(rate, axes, kept, out)


def _share_of_lower(draw: fx.Node, scale: Callable[[float], float], low: float, tracer: Any) -> float | None:
    """The share of draws that do as the lowest one does."""
    if draw.target in _OF_SHARE:
        given = (*draw.args[1:], *draw.kwargs.values()) if draw.target == "bernoulli_" else ()
        share: Any = given[0] if given else 0.5
        if draw.target != "bernoulli_":
            share = tracer.pairs[draw.args[0].name][0].unique().tolist()
            share = share[0] if len(share) == 1 else None
        return 1 - share if isinstance(share, float) else None
    lower, upper = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (lower + upper) / 2
        lower, upper = (middle, upper) if scale(middle) == low else (lower, middle)
    return (lower + upper) / 2


def _short(rate: float) -> float:
    """The shortest number that is as near as float32 tells."""
    return next((r for digits in range(1, 9) if abs((r := round(rate, digits)) - rate) <= _NEAR), rate)


def _axes(ratio: Callable[[torch.Tensor], torch.Tensor], size: torch.Tensor) -> tuple[int, ...] | None:
    """Along which axes each place has a draw of its own."""
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.rand(size.shape, generator=generator) < 0.5 for _ in range(_TRIES)]
    masks = [ratio(keeps) != 0 for keeps in drawn]
    rank = masks[0].dim()
    axes = tuple(axis for axis in range(rank) if any(bool((m != m.narrow(axis, 0, 1)).any()) for m in masks))
    for keeps, mask in zip(drawn, masks, strict=True):
        one = mask[tuple(slice(None) if axis in axes else slice(1) for axis in range(rank))]
        if not torch.equal(one.flatten(), keeps.flatten()):
            return None
    return axes


def _computing(draw: fx.Node, start: fx.Node, end: fx.Node, tracer: Any) -> Callable[..., torch.Tensor]:
    """`end` as a function of the value of `start` and of the draw."""
    between, wanted = [], {end}
    for node in reversed(list(end.graph.nodes)):
        if node in wanted and node not in (draw, start):
            between.append(node)
            wanted.update(node.all_input_nodes)
    moved = {draw, start}
    steps = []
    for node in reversed(between):
        if moved.intersection(node.all_input_nodes):
            moved.add(node)
            steps.append(node)

    def compute(x: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        values: dict[fx.Node, Any] = {start: x.clone(), draw: drawn.clone()}

        def of(node: fx.Node) -> Any:
            if node in values:
                return values[node]
            value = tracer.pairs[node.name][0]
            return value.clone() if isinstance(value, torch.Tensor) else value

        for node in steps:
            args, kwargs = fx.map_arg(node.args, of), fx.map_arg(node.kwargs, of)
            if node.op == "call_method":
                values[node] = getattr(args[0], str(node.target))(*args[1:], **kwargs)
            elif node.op == "call_function" and callable(node.target):
                values[node] = node.target(*args, **kwargs)
            else:
                raise TypeError(f"{node.op} between a draw and what it decides")
        return values[end]

    return compute


# the same in the graph of inference mode


def _aligned(graph: fx.Graph, tracer: Any, trained: fx.Graph, other: Any) -> None:
    """Put each `dropped` of `trained` into `graph`, if these two are the same but for them."""
    same: dict[fx.Node, fx.Node] = {}
    left = iter(list(graph.nodes))
    for node in trained.nodes:
        if node.target is dropped:
            continue
        mine = next(left, None)
        if mine is None or (mine.op, mine.target) != (node.op, node.target):
            return
        given = [_undropped(one) for one in node.all_input_nodes]
        if any(one not in same for one in given) or set(mine.all_input_nodes) != {same[one] for one in given}:
            return
        same[node] = mine
    if next(left, None) is not None:
        return
    for node in trained.nodes:
        if node.target is not dropped:
            mine = same[node]
            mine.args = _rewired(mine.args, node.args, same)
            mine.kwargs = _rewired(mine.kwargs, node.kwargs, same)
            continue
        following = next(one for one in _after(node) if one.target is not dropped)
        with graph.inserting_before(same[following]):
            new = graph.call_function(dropped, (same[node.args[0]], *node.args[1:]))
        tracer.pairs[new.name] = tracer.pairs[same[node.args[0]].name]
        tracer.lines[new.name] = other.lines.get(node.name, "")
        tracer.variables[new.name] = other.variables.get(node.name, [])
        same[node] = new


def _after(node: fx.Node) -> Iterator[fx.Node]:
    while True:
        node = node.next
        yield node


def _undropped(node: fx.Node) -> fx.Node:
    while node.target is dropped:
        node = node.args[0]
    return node


def _rewired(mine: Any, theirs: Any, same: dict[fx.Node, fx.Node]) -> Any:
    """The arguments of inference mode, with what is dropped where training mode has it."""
    if isinstance(theirs, fx.Node):
        return same[theirs] if theirs.target is dropped else mine
    if isinstance(theirs, tuple | list) and isinstance(mine, tuple | list) and len(mine) == len(theirs):
        return type(mine)(_rewired(a, b, same) for a, b in zip(mine, theirs, strict=True))
    if isinstance(theirs, dict) and isinstance(mine, dict):
        return {key: _rewired(value, theirs.get(key), same) for key, value in mine.items()}
    return mine

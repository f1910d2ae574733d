"""A graph rewritten so that ONNX Runtime's own optimisers, all of them on, leave it right.

Where an optimiser changes the answer, the engine here is told to leave it off. Whoever loads the same file elsewhere is
told nothing: Triton and a plain `InferenceSession` have it on. So the pattern that it looks for is taken away.

- `Pad` gets its axes as an input: the runtime fuses none that has them.
- Elsewhere a `Max` of one tensor, which copies it, is put between two nodes that must not be fused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.equivalence.runtime.optimizers import answer, distance, fewest

if TYPE_CHECKING:
    import onnx

Loadable = Callable[["onnx.ModelProto"], bytes | Path]
_AXES_SINCE = 18
"""the opset from which Pad has them"""
_MAX_SINCE = 13
_MOST_BARRIERS = 2000
_SECONDS = 60.0
"""in which the changes that are needed are told from those that are not"""
_ENOUGH = 1e-5
"""of the output's scale: what float32 rounds differently in another order"""
_FLOAT, _FLOAT16, _DOUBLE = 1, 10, 11


def rewritten(
    graph: onnx.ModelProto, loadable: Loadable, feeds: dict[str, Array], provider: str
) -> tuple[onnx.ModelProto, str] | None:
    """The graph that the runtime's default settings answer rightly on `feeds`, and what was done to it.

    Right is what it answers without any optimisation. None where nothing helps.
    """
    plain = answer(loadable(graph), provider, SessionSettings(optimization="none"), feeds)
    wrong = distance(plain, answer(loadable(graph), provider, SessionSettings(), feeds))
    if plain is None:
        return None

    deadline = time.monotonic() + _SECONDS

    def sound(changed: onnx.ModelProto) -> bool:
        found = distance(plain, answer(loadable(changed), provider, SessionSettings(), feeds))
        return found <= _ENOUGH and found < wrong

    ways: tuple[tuple[Sequence[Any], Callable[[onnx.ModelProto, Sequence[Any]], onnx.ModelProto], str], ...] = (
        (_pads(graph), _with_axes, "{} Pad nodes name their axes"),
        (_edges(graph), _with_barriers, "{} copies stand between nodes"),
    )
    for candidates, change, told in ways:
        if not candidates or not sound(change(graph, candidates)):
            continue

        def suffices(chosen: Sequence[Any], change: Any = change) -> bool:
            return time.monotonic() < deadline and sound(change(graph, chosen))

        needed = fewest(candidates, suffices)
        return change(graph, needed), told.format(len(needed))
    return None


def _opset(graph: onnx.ModelProto) -> int:
    return max((one.version for one in graph.opset_import if one.domain in ("", "ai.onnx")), default=0)


def _copied(graph: onnx.ModelProto) -> onnx.ModelProto:
    copy = type(graph)()
    copy.CopyFrom(graph)
    return copy


def _pads(graph: onnx.ModelProto) -> list[int]:
    """The places of the Pad nodes without axes whose number of dimensions is known."""
    if _opset(graph) < _AXES_SINCE:
        return []
    sizes = _constant_sizes(graph)
    return [
        place
        for place, node in enumerate(graph.graph.node)
        if node.op_type == "Pad" and len(node.input) < 4 and sizes.get(node.input[1], 0) >= 2
    ]


def _constant_sizes(graph: onnx.ModelProto) -> dict[str, int]:
    """Name → number of values, of constants of one dimension."""
    found = {tensor.name: tensor.dims[0] for tensor in graph.graph.initializer if len(tensor.dims) == 1}
    for node in graph.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value" and len(attribute.t.dims) == 1:
                found[node.output[0]] = attribute.t.dims[0]
            elif node.op_type == "Constant" and attribute.name == "value_ints":
                found[node.output[0]] = len(attribute.ints)
    return found


def _with_axes(graph: onnx.ModelProto, places: Sequence[int]) -> onnx.ModelProto:
    import onnx

    changed, sizes = _copied(graph), _constant_sizes(graph)
    for place in places:
        node = changed.graph.node[place]
        rank = sizes[node.input[1]] // 2
        name = _unused(changed, f"axes_0_to_{rank - 1}")
        if not any(tensor.name == name for tensor in changed.graph.initializer):
            changed.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(rank, dtype=np.int64), name))
        node.input.extend([""] * (3 - len(node.input)))
        node.input.append(name)
    return changed


def _unused(graph: onnx.ModelProto, name: str) -> str:
    taken = {value.name for value in (*graph.graph.input, *graph.graph.output)}
    taken |= {output for node in graph.graph.node for output in node.output}
    while name in taken:
        name += "_"
    return name


def _edges(graph: onnx.ModelProto) -> list[tuple[int, int]]:
    """(node, which of its inputs) for every float that another node of the main graph made."""
    import onnx

    if _opset(graph) < _MAX_SINCE:
        return []
    try:
        inferred = onnx.shape_inference.infer_shapes(graph)
    except (onnx.shape_inference.InferenceError, ValueError):
        return []
    floats = {
        value.name
        for value in (*inferred.graph.value_info, *inferred.graph.output)
        if value.type.tensor_type.elem_type in (_FLOAT, _FLOAT16, _DOUBLE)
    }
    made = {
        output for node in graph.graph.node if node.op_type != "Constant" for output in node.output if output in floats
    }
    edges = [
        (place, number)
        for place, node in enumerate(graph.graph.node)
        for number, name in enumerate(node.input)
        if name in made
    ]
    return edges if len(edges) <= _MOST_BARRIERS else []


def _with_barriers(graph: onnx.ModelProto, edges: Sequence[tuple[int, int]]) -> onnx.ModelProto:
    import onnx

    changed, before = _copied(graph), dict[int, list[onnx.NodeProto]]()
    for place, number in edges:
        node = changed.graph.node[place]
        name = _unused(changed, f"{node.input[number]}_apart_{place}_{number}")
        barrier = onnx.helper.make_node("Max", [node.input[number]], [name], name=name)
        barrier.metadata_props.extend(node.metadata_props)
        before.setdefault(place, []).append(barrier)
        node.input[number] = name
    nodes = [one for place, node in enumerate(changed.graph.node) for one in (*before.get(place, []), node)]
    copies = [type(node)() for node in nodes]
    for copy, node in zip(copies, nodes, strict=True):
        copy.CopyFrom(node)
    del changed.graph.node[:]
    changed.graph.node.extend(copies)
    return changed

"""Where an export first goes another way than its original: the layer, and the nodes that stand for it.

One pass over the graph in float64 (`numpy_graph`) meets the framework's recorded tensors (`recording`). A tensor of the
graph that holds what some layer computed is good, and so is what lies before it. From a wrong output the graph is
walked back to the good tensors: what was passed is suspect. The guilty layer is the first, in the order in which the
framework computed, whose inputs are good, whose own tensor is nowhere in the graph, and which has suspect nodes. A
layer that the converter fused with its neighbour has none, as the neighbour's tensor is good again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden, worst_multiple
from onnxpress.export.equivalence.evaluator.numpy_graph import NumpyGraph
from onnxpress.export.equivalence.layerwise.comparison import LAYER_LIMIT
from onnxpress.export.equivalence.layerwise.divergence import STEPS, Divergence
from onnxpress.export.equivalence.layerwise.recording import Record
from onnxpress.export.equivalence.layerwise.whole_graph import WHOLE_LIMIT, plain
from onnxpress.export.equivalence.report.schema import Explanation, Point
from onnxpress.export.graph.layer_notes import SOURCE, note_of

if TYPE_CHECKING:
    import onnx

_SHOWN = 5


def explain(
    graph: onnx.ModelProto,
    case: str,
    feeds: dict[str, Array],
    expected: Golden,
    records: Sequence[Record],
    steps: Mapping[str, Array],
    parameters: Mapping[str, str],
) -> tuple[Explanation, list[Point]]:
    """Name the layer at which the graph leaves the original on `feeds`; also gives the divergence along the graph.

    `expected` holds the original's float64 answer and the floors; `steps` the tensors of the whole pipeline in
    float64, by name; `parameters` the framework's parameters that the graph holds otherwise, and how. Raises
    NotEvaluated where the graph cannot be computed.
    """
    divergence = Divergence(graph, records, steps)
    answers = NumpyGraph(graph).run(feeds, divergence.see)
    multiples = worst_multiple(expected, {name: plain(value) for name, value in answers.items()})
    wrong = [name for name, far in multiples.items() if far > WHOLE_LIMIT]
    named = _of_parameter(parameters, divergence)
    _, drifted = divergence.drift(LAYER_LIMIT)
    if not wrong and named is None and drifted is None:
        detail = "in float64 the graph computes what the original does: the difference arises in the runtime, or in "
        return Explanation(case=case, detail=f"{detail}the rounding of float32"), divergence.curve()
    divergence.judge(max(multiples.values()))
    if wrong:
        suspects = divergence.suspects(wrong)
        number = divergence.guilty(suspects)
        layer = _layer(divergence, suspects, records[number].layer if number is not None else None)
    else:
        number, layer = drifted, records[drifted].layer if drifted is not None else None
        suspects = [place for place, tag in enumerate(divergence.tags) if tag == layer]
    record = records[number] if number is not None else None
    layer = layer if named is None else named
    at = [place for place in suspects if divergence.tags[place] == layer]
    if record is None or record.layer != layer:
        of_layer = [n for n, one in enumerate(records) if one.layer == layer]
        number = next((n for n in of_layer if divergence.far(n) > WHOLE_LIMIT), None)
        record = records[number] if number is not None else None
    lines = (note_of(graph.graph.node[place], SOURCE) for place in at)
    parts = Explanation(
        case=case,
        layer=layer,
        kind=record.kind if record else "",
        operation=record.operation if record else "",
        source=(record.source if record else "") or next((line for line in lines if line), ""),
        nodes=[_name(graph.graph.node[place]) for place in (at or suspects)[:_SHOWN]],
        folded=_folded(divergence, record) if record else [],
        multiple=divergence.far(number) if number is not None else math.inf,
        parameters={name: how for name, how in parameters.items() if _owner(name, divergence) == layer},
        detail="",
    )
    return msgspec.structs.replace(parts, detail=_told(parts)), divergence.curve(number)


def _layer(divergence: Divergence, suspects: Sequence[int], recorded: str | None) -> str | None:
    """The layer of the first suspect nodes: the one that the records name if it is among several."""
    first = [divergence.tags[place] for place in divergence.front(suspects) or suspects]
    if recorded in first:
        return recorded
    known = [tag for tag in first if divergence.records or tag.startswith(STEPS)]
    return known[0] if known else None


def _folded(divergence: Divergence, record: Record) -> list[str]:
    """The layers without a node that this tensor was computed from, as far as theirs are not in the graph either."""
    layers: dict[str, None] = {}
    waiting = list(record.inputs)
    tags = set(divergence.tags)
    while waiting:
        number = waiting.pop()
        one = divergence.records[number]
        if divergence.far(number) > WHOLE_LIMIT and one.layer not in tags:
            layers[one.layer] = None
            waiting += one.inputs
    return list(layers)


def _owner(parameter: str, divergence: Divergence) -> str | None:
    """The layer that a parameter belongs to: `encoder.2.weight` → encoder.2, `model/dense_1/kernel` → dense_1."""
    separator = "/" if "/" in parameter else "."
    parts = parameter.split(separator)[:-1]
    tags = set(divergence.tags)
    if f"{STEPS}{parts[0] if parts else ''}" in tags:
        return f"{STEPS}{parts[0]}"
    for end in range(len(parts), 0, -1):
        if (joined := separator.join(parts[:end])) in tags:
            return joined
        if separator == "/" and parts[end - 1] in tags:
            return parts[end - 1]
    return separator.join(parts) if separator == "." else (parts[-1] if parts else "")


def _of_parameter(parameters: Mapping[str, str], divergence: Divergence) -> str | None:
    owners = {_owner(name, divergence) for name in parameters}
    return owners.pop() if len(owners) == 1 else None


def _name(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"


def _told(explanation: Explanation) -> str:
    layer = "the model's own forward" if explanation.layer == "" else f"{explanation.layer}"
    kind = f" ({explanation.kind})" if explanation.kind and explanation.layer else ""
    operation = f", at {explanation.operation}" if explanation.operation else ""
    source = f", {explanation.source}" if explanation.source else ""
    far = f", {explanation.multiple:,.0f} of its own noise floors away" if math.isfinite(explanation.multiple) else ""
    folded = f" with {', '.join(explanation.folded)} folded into it" if explanation.folded else ""
    changed = "".join(f"; its parameter {name}: {how}" for name, how in list(explanation.parameters.items())[:2])
    nodes = f"; node {', '.join(explanation.nodes[:3])}" if explanation.nodes else ""
    if explanation.layer is None:
        return "no layer could be named: the original does not show what its layers compute"
    return f"first differs at {layer}{kind}{folded}{operation}{source}{far}{changed}{nodes}"
